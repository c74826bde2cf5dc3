"""The exact objects that users get, a folder for each documented scenario.

`input.yaml` (what a user applied, under a comment with the claim) and `observed.yaml` (what is seen
of the cluster) are kept as they are, like what an older operator left behind. `plan.yaml` and
`status.yaml` are what follows; `PUNA_GOLDEN=write` writes them anew, to be reviewed as the change
of the product that they are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import LLMEndpointStatus, RevisionRole
from puna.api.preset import Preset
from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.findings import Finding
from puna.core.naming import LABEL_REVISION
from puna.core.plan import Manifest, ObjectKey, Plan, key_of
from puna.endpoint.effective import resolve
from puna.endpoint.observed import ObservedEndpoint, RouterObservation
from puna.endpoint.plan import plan as plan_endpoint
from puna.endpoint.restore import CARRIED, known_revisions
from puna.endpoint.revision import new_revision
from puna.namespace.observed import ObservedNamespace, RouterNamespace
from puna.namespace.plan import plan as plan_namespace
from puna.training.observed import ObservedTraining
from puna.training.plan import plan as plan_training
from puna_fetch.config import Progress
from puna_router.config import EndpointState
from puna_trainer.progress import Progress as TrainerProgress
from tests.factories import NOW, settings

HERE = Path(__file__).parent
ENDPOINTS = sorted(path.parent for path in HERE.glob("endpoint/*/input.yaml"))
TRAININGS = sorted(path.parent for path in HERE.glob("training/*/input.yaml"))
NAMESPACES = sorted(path.parent for path in HERE.glob("namespace/*/input.yaml"))


@pytest.mark.parametrize("case", ENDPOINTS, ids=lambda case: case.name)
def test_an_endpoint_is_planned_as_before(case: Path) -> None:
    endpoint, *presets = documents(case)
    wanted = LLMEndpoint.model_validate(endpoint)
    made = plan_endpoint(wanted, observed_endpoint(case, wanted, presets), settings(), NOW)
    compare(case / "plan.yaml", plan_document(made))
    compare(case / "status.yaml", made.status.to_dict())


@pytest.mark.parametrize("case", NAMESPACES, ids=lambda case: case.name)
def test_a_router_is_planned_as_before(case: Path) -> None:
    endpoints = tuple(LLMEndpoint.model_validate(document) for document in documents(case))
    seen = yaml.safe_load((case / "observed.yaml").read_text())
    namespace = RouterNamespace(endpoints[0].metadata.namespace, endpoints)
    observed = ObservedNamespace(
        children=tuple(seen["children"]),
        backend_key=next((item for item in seen["children"] if item["kind"] == "Secret"), None),
        fresh_key=seen["freshKey"],
    )
    compare(case / "plan.yaml", plan_document(plan_namespace(namespace, observed, settings(), NOW)))


@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case.name)
def test_a_training_job_is_planned_as_before(case: Path) -> None:
    job = TrainingJob.model_validate(documents(case)[0])
    made = plan_training(job, observed_training(case), settings(), NOW)
    compare(case / "plan.yaml", plan_document(made))
    compare(case / "status.yaml", made.status.to_dict())


@pytest.mark.parametrize("case", ENDPOINTS + NAMESPACES + TRAININGS, ids=lambda case: case.name)
def test_a_case_says_what_it_shows(case: Path) -> None:
    assert (case / "input.yaml").read_text().startswith("# ")


def documents(case: Path) -> list[Manifest]:
    return list(yaml.safe_load_all((case / "input.yaml").read_text()))


def observed_endpoint(
    case: Path, endpoint: LLMEndpoint, documents: list[Manifest]
) -> ObservedEndpoint:
    seen: dict[str, Any] = yaml.safe_load((case / "observed.yaml").read_text())
    presets = {item["metadata"]["name"]: Preset.model_validate(item) for item in documents}
    return ObservedEndpoint(
        children=tuple(
            child | {"data": wanted_data(endpoint, presets)}
            if child["kind"] == "ControllerRevision" and "data" not in child
            else child
            for child in seen.get("children", ())
        ),
        pods=tuple(seen.get("pods", ())),
        presets=presets,
        missing_secrets=frozenset(seen.get("missingSecrets", ())),
        claims=seen.get("claims", {}),
        jobs=tuple(TrainingJob.model_validate(item) for item in seen.get("jobs", ())),
        foreign=frozenset(
            ObjectKey(item["apiVersion"], item["kind"], item["namespace"], item["name"])
            for item in seen.get("foreign", ())
        ),
        routers=tuple(router(item) for item in seen.get("routers", ())),
        routers_asked=seen.get("routersAsked", False),
        progress={
            name: Progress.model_validate(item) for name, item in seen.get("progress", {}).items()
        },
        backend_key=seen.get("backendKey"),
        rejected=seen.get("rejected"),
    )


def observed_training(case: Path) -> ObservedTraining:
    seen: dict[str, Any] = yaml.safe_load((case / "observed.yaml").read_text())
    return ObservedTraining(
        children=tuple(seen.get("children", ())),
        pods=tuple(seen.get("pods", ())),
        missing_secrets=frozenset(seen.get("missingSecrets", ())),
        claims=seen.get("claims", {}),
        progress={
            name: TrainerProgress.model_validate(item)
            for name, item in seen.get("progress", {}).items()
        },
    )


def wanted_data(endpoint: LLMEndpoint, presets: dict[str, Preset]) -> Manifest:
    """The data of the wanted revision: of one that never served, only today's is left alone."""
    revision = new_revision(
        resolve(endpoint.metadata.name, endpoint.spec, presets),
        namespace=endpoint.metadata.namespace,
        settings=settings(),
        role=RevisionRole.CANDIDATE,
    )
    return revision.data.to_dict()


def router(item: Manifest) -> RouterObservation:
    state = item.get("state")
    return RouterObservation(
        pod=item["pod"],
        reachable=item.get("reachable", True),
        state=None if state is None else EndpointState.model_validate(state),
    )


def plan_document(
    made: Plan[LLMEndpointStatus] | Plan[Finding | None] | Plan[TrainingJobStatus],
) -> Manifest:
    """A plan as one document; children by identity, since their order is no promise to users."""
    wait = made.requeue_after
    return {
        "children": None if made.children is None else shortened(made.children),
        "events": [
            {"type": event.type, "reason": str(event.reason), "message": event.message}
            for event in made.events
        ],
        "requeueAfterSeconds": None if wait is None else wait.total_seconds(),
    }


def shortened(children: tuple[Manifest, ...]) -> list[Manifest]:
    """Children in their order; of the revisions that a Deployment carries, which these are.

    Their data stand in the plan already, and have to be the same.
    """
    data = {
        child["metadata"]["labels"][LABEL_REVISION]: json.loads(json.dumps(child["data"]))
        for child in children
        if child["kind"] == "ControllerRevision"
    }
    return [_shortened(child, data) for child in sorted(children, key=key_of)]


def _shortened(child: Manifest, data: dict[str, Manifest]) -> Manifest:
    metadata = child["metadata"]
    if child["kind"] != "Deployment" or CARRIED not in metadata.get("annotations", {}):
        return child
    carried = {item.name: item.raw for item in known_revisions([child])}
    assert carried.items() <= data.items()
    annotations = metadata["annotations"] | {CARRIED: f"data of {', '.join(carried)}"}
    return child | {"metadata": metadata | {"annotations": annotations}}


class Readable(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def compare(path: Path, document: Manifest) -> None:
    text = yaml.dump(
        document,
        Dumper=Readable,
        sort_keys=True,
        default_flow_style=None,
        width=100,
        allow_unicode=True,
    )
    if os.environ.get("PUNA_GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text, f"{path.parent.name}: run PUNA_GOLDEN=write pytest {HERE.name}"

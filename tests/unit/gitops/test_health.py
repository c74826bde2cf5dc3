"""Argo CD and Flux see the right health, in every status that this operator writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.reasons import Reason
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Manifest
from puna.endpoint.unreadable import unreadable_status
from puna.training.unreadable import unreadable_status as unreadable_training
from tests.factories import HTTPS_MODEL, NOW, endpoint, preset
from tests.fake_cluster import FakeCluster
from tests.trainings import complete_job
from tests.unit.gitops.health import ArgoCD, Flux

GOLDEN: Final = Path(__file__).parents[2] / "golden"
MEANING: Final = {
    "Healthy": "Current",
    "Degraded": "Failed",
    "Progressing": "InProgress",
    "Suspended": "InProgress",
}
"""What Flux says where Argo CD says something; it has no word for waiting for people."""
ENDPOINTS: Final = {
    "canary-aborted": "Degraded",
    "canary-aborted-waiting-for-routers": "Degraded",
    "canary-of-a-worse-model": "Degraded",
    "canary-of-sampling": "Suspended",
    "canary-waits-for-promotion": "Suspended",
    "child-refused-by-the-api-server": "Degraded",
    "crash-loop": "Degraded",
    "external-servers-alone": "Healthy",
    "keys-that-are-missing": "Degraded",
    "name-conflict": "Degraded",
    "ready": "Healthy",
    "scaled-to-zero": "Healthy",
    "surge-old-one-let-go": "Healthy",
    "surge-without-room": "Degraded",
    "unknown-preset": "Degraded",
    "wrong-checksum": "Degraded",
}
TRAININGS: Final = {
    "complete": "Healthy",
    "failed": "Degraded",
    "no-claim": "Degraded",
    "refused": "Degraded",
    "suspended": "Suspended",
}
"""Health of documented scenarios; in all others something is under way."""
CANARY: Final = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}}
CASES: Final = sorted(GOLDEN.glob("endpoint/*/status.yaml")) + sorted(
    GOLDEN.glob("training/*/status.yaml")
)

argo, flux = ArgoCD(), Flux()


def seen(kind: str, status: Any, generation: int | None = None) -> Manifest:
    """An object with a status, as the API server shows it."""
    observed = status.get("observedGeneration", 0) if status else 1
    metadata = {"name": "chat", "generation": observed if generation is None else generation}
    document = {"kind": kind, "metadata": metadata, "spec": {}}
    return document | ({"status": status} if status is not None else {})


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parts[-3]}-{path.parent.name}")
def test_a_documented_scenario_has_its_health(path: Path) -> None:
    is_endpoint = path.parts[-3] == "endpoint"
    known = ENDPOINTS if is_endpoint else TRAININGS
    kind = LLMEndpoint.kind if is_endpoint else TrainingJob.kind
    manifest = seen(kind, yaml.safe_load(path.read_text()))
    expected = known.get(path.parent.name, "Progressing")
    assert argo(manifest)[0] == expected
    assert flux(manifest) == MEANING[expected]


def lives() -> Iterator[FakeCluster]:
    """Endpoints to which all kinds of things happen."""
    served = FakeCluster(endpoint(model=HTTPS_MODEL, replicas=2))
    served.settle()
    served.edit(model=HTTPS_MODEL | {"sha256": "6" * 64})
    served.settle()
    served.edit(replicas=0)
    served.settle()
    served.edit(presetRef={"name": "missing"})
    served.settle()
    yield served

    canary = FakeCluster(endpoint(model=HTTPS_MODEL, rollout=CANARY))
    canary.settle()
    for digest, order in zip("678", ("promote", "abort", None), strict=True):
        canary.edit(model=HTTPS_MODEL | {"sha256": digest * 64})
        canary.settle()
        wanted = canary.endpoint.status.canary
        assert wanted is not None
        if order is not None:
            canary.annotate(**{order: wanted.revision})
            canary.settle()
    canary.refusing.update(canary.routers)
    canary.edit(routing={"retries": 3})
    canary.reconcile()
    canary.reconcile()
    yield canary

    steps = [{"weight": 10, "holdSeconds": 60}]
    limits = {"minRequests": 0, "evaluation": {"metric": "perplexity", "maxRegressionPercent": 5}}
    followed = FakeCluster(
        endpoint(
            model={"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}},
            rollout={"strategy": "Canary", "canary": {"steps": steps, "analysis": limits}},
        ),
        claims={"runs": {}},
    )
    followed.settle()
    for number, perplexity in enumerate((12.5, 12, 20)):
        scores = {"perplexity": perplexity}
        followed.jobs = {"1": complete_job(digest=str(number), number=number, scores=scores)}
        followed.live_through()
    yield followed


def test_no_status_on_the_way_is_told_wrong() -> None:
    told = set()
    for cluster in lives():
        for _, status in cluster.written:
            document = status.to_dict()
            manifest = seen(LLMEndpoint.kind, document)
            conditions = {item["type"]: item for item in document["conditions"]}
            health, message = argo(manifest)
            told.add(health)
            assert flux(manifest) == MEANING[health], document
            ready = conditions["Ready"]
            asked = ready["reason"] == Reason.NO_REPLICAS
            assert (health == "Healthy") == (ready["status"] == "True" or asked), document
            assert message or ready["status"] == "True"
    assert told == set(MEANING)


@pytest.mark.parametrize("reason", Reason)
def test_what_is_stuck_is_degraded_unless_it_waits_for_a_run_or_for_people(reason: Reason) -> None:
    conditions = [
        {"type": "Progressing", "status": "False", "reason": reason, "message": "so it is"},
        {"type": "Ready", "status": "False", "reason": reason, "message": "so it is"},
    ]
    status = {"observedGeneration": 1, "conditions": conditions}
    waits = {
        "ArtifactNotReady": "Progressing",
        "CanaryPaused": "Suspended",
        "RolledBack": "Suspended",
    }
    expected = waits.get(reason, "Degraded")
    manifest = seen(LLMEndpoint.kind, status)
    assert argo(manifest) == (expected, f"{reason}: so it is")
    assert flux(manifest) == MEANING[expected]


@pytest.mark.parametrize("kind", [LLMEndpoint.kind, TrainingJob.kind])
def test_what_the_operator_has_not_looked_at_is_under_way(kind: str) -> None:
    old = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    for manifest in (seen(kind, None), seen(kind, old, generation=2)):
        assert (argo(manifest)[0], flux(manifest)) == ("Progressing", "InProgress")


def test_a_spec_that_cannot_be_read_is_degraded() -> None:
    manifest = {"metadata": {"name": "chat", "generation": 1}}
    endpoints = unreadable_status(manifest, "spec.model: no", NOW).to_dict()
    trainings = unreadable_training(manifest, "spec.task: no", NOW).to_dict()
    for made in (seen(LLMEndpoint.kind, endpoints), seen(TrainingJob.kind, trainings)):
        assert (argo(made)[0], flux(made)) == ("Degraded", "Failed")


def test_a_preset_is_healthy() -> None:
    manifest = seen(Preset.kind, None) | {"spec": preset().spec.to_dict()}
    assert (argo(manifest)[0], flux(manifest)) == ("Healthy", "Current")


def test_every_kind_is_known() -> None:
    kinds = {LLMEndpoint.kind, TrainingJob.kind, Preset.kind}
    assert argo.kinds == flux.kinds == kinds

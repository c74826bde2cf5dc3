"""Revisions: what is stored of each, once, and read back ever after.

A ControllerRevision's data is immutable. It holds the inputs of the revision and the Pod that the
operator of that day rendered from them, so that a newer operator restarts nothing. Role and merit
are labels: they are the truth, the status mirrors them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from puna.api.lineage import ModelLineage
from puna.api.llmendpoint_status import Outcome, RevisionRole
from puna.api.model_source import ModelSource
from puna.api.pool import Accelerator
from puna.api.preset import Precedence, Prompt, Sampling, Server
from puna.api.replacement import ReplacementStatus
from puna.api.resource import Model
from puna.core.naming import (
    COMPONENT_MODEL,
    LABEL_OUTCOME,
    LABEL_PROVEN,
    LABEL_REVISION,
    LABEL_ROLE,
    child_name,
    endpoint_labels,
)
from puna.core.plan import Manifest
from puna.endpoint.canary import Position
from puna.endpoint.effective import Effective
from puna.endpoint.golden_record import GoldenRecord, read_record
from puna.endpoint.orders import Orders, read_orders
from puna.endpoint.pod import base_pod_spec
from puna.endpoint.samples import Baseline, read_baseline
from puna.settings import AcceleratorProfile, Settings

PROMOTED_AT: Final = "puna.dev/promoted-at"
"""When the revision became the stable one."""
CANARY_STEP: Final = "puna.dev/canary-step"
"""Index of the step whose weight the revision gets."""
CANARY_SINCE: Final = "puna.dev/canary-since"
"""When the revision got its present weight; with no step: when it lost it."""
REPLACEMENT: Final = "puna.dev/replacement"
"""What taking the place of another one by Replace interrupts, as JSON."""
CANARY_BASELINE: Final = "puna.dev/canary-baseline"
"""What routers had counted when the revision got its present weight."""
CANARY_VERDICT: Final = "puna.dev/canary-verdict"
"""Why the revision's canary failed."""

GOLDEN_PROMPTS: Final = "puna.dev/golden-prompts"
"""When the revision's golden prompts began to be asked, and that they passed."""


class FrozenProfile(Model):
    """An accelerator's profile as it was when the revision was made."""

    image: str
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    resource_name: str | None = None
    runtime_class: str | None = None
    gpu_layers: int = 0


class RevisionData(Model):
    """The data of a ControllerRevision."""

    process: str
    model: ModelSource
    lineage: ModelLineage | None = None
    """Where the model comes from, if a TrainingJob made it; no part of a hash."""
    preset: str | None = None
    sampling: Sampling = Sampling()
    precedence: Precedence = Precedence.DEFAULT
    prompt: Prompt = Prompt()
    server: Server = Server()
    template: dict[str, Any]
    """Pod spec without the pool's own fields."""
    accelerators: dict[str, FrozenProfile]


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """One revision with the part it plays."""

    name: str
    data: RevisionData
    role: RevisionRole
    proven: bool = False
    created_at: datetime | None = None
    promoted_at: datetime | None = None
    outcome: Outcome | None = None
    verdict: str | None = None
    """Why its canary failed."""
    baseline: Baseline | None = None
    """What routers had counted when its present step as a canary began."""
    position: Position = field(default_factory=Position)
    """How far it has come as a canary."""
    passed_over: Orders = field(default_factory=Orders)
    """Orders that were there before its canary began: they were meant for an earlier one."""
    golden: GoldenRecord | None = None
    """What came of its golden prompts, once one was asked."""
    replacement: ReplacementStatus | None = None
    """What a Replace by which it takes over interrupts; None: no such."""
    number: int = 0
    """Sequence number of the stored object; 0 until it is stored."""
    outdated: bool = False
    """The stored object holds other data: it is deleted, and made again by the pass after."""
    raw: Mapping[str, Any] | None = None
    """The data as stored, to be applied again as it is."""
    lost: bool = False
    """The stored object is gone; this is what Deployments carry of it."""

    @property
    def process(self) -> str:
        """Process hash of the revision."""
        return self.data.process

    def sharing(self, running: StoredRevision) -> StoredRevision:
        """Return the revision with the Pods of another one of its process, which go on running."""
        frozen = {"template": running.data.template, "accelerators": running.data.accelerators}
        return replace(self, data=self.data.model_copy(update=frozen))

    def renewed(self, fresh: StoredRevision) -> StoredRevision:
        """Return a revision that never served as this operator renders it.

        What is frozen protects running Pods; of one that never ran, it would only keep a mistake in
        the operator's settings alive.
        """
        if self.data == fresh.data:
            return self
        return replace(self, data=fresh.data, raw=None, outdated=True)

    def profile(self, accelerator: Accelerator, settings: Settings) -> AcceleratorProfile:
        """Return the frozen profile of an accelerator, or today's for one added since."""
        frozen = self.data.accelerators.get(accelerator)
        if frozen is None:
            return settings.accelerators[accelerator]
        return replace(
            settings.accelerators[accelerator],
            image=frozen.image,
            node_selector=frozen.node_selector,
            tolerations=frozen.tolerations,
            resource_name=frozen.resource_name,
            runtime_class=frozen.runtime_class,
            gpu_layers=frozen.gpu_layers,
        )


def new_revision(
    effective: Effective, *, namespace: str, settings: Settings, role: RevisionRole
) -> StoredRevision:
    """Return the revision of an effective spec, frozen with what this operator renders."""
    return StoredRevision(
        name=effective.revision,
        role=role,
        data=RevisionData(
            process=effective.process,
            model=effective.model,
            lineage=effective.lineage,
            preset=effective.preset,
            sampling=effective.sampling,
            precedence=effective.precedence,
            prompt=effective.prompt,
            server=effective.server,
            template=base_pod_spec(effective, namespace=namespace, settings=settings),
            accelerators={
                accelerator.value: FrozenProfile(
                    image=profile.image,
                    node_selector=dict(profile.node_selector),
                    tolerations=tuple(dict(item) for item in profile.tolerations),
                    resource_name=profile.resource_name,
                    runtime_class=profile.runtime_class,
                    gpu_layers=profile.gpu_layers,
                )
                for accelerator, profile in settings.accelerators.items()
            },
        ),
    )


def stored_revisions(children: Iterable[Manifest]) -> tuple[StoredRevision, ...]:
    """Read the ControllerRevisions among an endpoint's children, newest first."""
    found = [
        _read(child)
        for child in children
        if child["kind"] == "ControllerRevision"
        and "deletionTimestamp" not in child["metadata"]
        and LABEL_REVISION in child["metadata"].get("labels", {})
    ]
    return newest_first(found)


def newest_first(revisions: Iterable[StoredRevision]) -> tuple[StoredRevision, ...]:
    """Return revisions in their order; two may be made within the second that a time tells."""
    return tuple(sorted(revisions, key=lambda item: (item.number, item.name), reverse=True))


def build_revision(
    revision: StoredRevision, *, namespace: str, endpoint: str, next_number: int
) -> Manifest:
    """Return the ControllerRevision of a revision."""
    labels = endpoint_labels(endpoint, COMPONENT_MODEL) | {
        LABEL_REVISION: revision.name,
        LABEL_ROLE: revision.role.value.lower(),
    }
    if revision.proven:
        labels[LABEL_PROVEN] = "true"
    if revision.outcome is not None:
        labels[LABEL_OUTCOME] = revision.outcome.value.lower()
    metadata: Manifest = {
        "name": child_name(endpoint, revision.name),
        "namespace": namespace,
        "labels": labels,
    }
    annotations = _annotations(revision)
    if annotations:
        metadata["annotations"] = annotations
    data = revision.raw if revision.raw is not None else revision.data.to_dict()
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": revision.number or next_number,
        "data": dict(data),
    }


def _annotations(revision: StoredRevision) -> dict[str, str]:
    annotations = revision.passed_over.annotations()
    if revision.promoted_at is not None:
        annotations[PROMOTED_AT] = revision.promoted_at.isoformat()
    if revision.verdict is not None:
        annotations[CANARY_VERDICT] = revision.verdict
    if revision.baseline is not None:
        annotations[CANARY_BASELINE] = revision.baseline.to_json()
    if revision.position.step is not None:
        annotations[CANARY_STEP] = str(revision.position.step)
    if revision.position.since is not None:
        annotations[CANARY_SINCE] = revision.position.since.isoformat()
    if revision.golden is not None:
        annotations[GOLDEN_PROMPTS] = revision.golden.to_text()
    if revision.replacement is not None:
        annotations[REPLACEMENT] = json.dumps(revision.replacement.to_dict(), sort_keys=True)
    return annotations


def _read(child: Manifest) -> StoredRevision:
    metadata = child["metadata"]
    labels, annotations = metadata["labels"], metadata.get("annotations", {})
    outcome, step = labels.get(LABEL_OUTCOME), annotations.get(CANARY_STEP)
    return StoredRevision(
        name=labels[LABEL_REVISION],
        data=RevisionData.model_validate(child["data"]),
        role=RevisionRole(labels.get(LABEL_ROLE, RevisionRole.RETIRED.value).capitalize()),
        proven=labels.get(LABEL_PROVEN) == "true",
        created_at=_time(metadata.get("creationTimestamp")),
        promoted_at=_time(annotations.get(PROMOTED_AT)),
        outcome=Outcome(outcome.capitalize()) if outcome else None,
        verdict=annotations.get(CANARY_VERDICT),
        baseline=read_baseline(annotations.get(CANARY_BASELINE)),
        position=Position(
            step=int(step) if step else None, since=_time(annotations.get(CANARY_SINCE))
        ),
        passed_over=read_orders(annotations),
        golden=read_record(annotations.get(GOLDEN_PROMPTS)),
        replacement=_replacement(annotations.get(REPLACEMENT)),
        number=child.get("revision", 0),
        raw=child["data"],
    )


def _replacement(text: str | None) -> ReplacementStatus | None:
    return None if text is None else ReplacementStatus.model_validate_json(text)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

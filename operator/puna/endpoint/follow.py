"""Following TrainingJobs: which file an endpoint means that names a run, or selects runs.

It is the one of the newest run that is complete. Which run a stored revision comes from is kept
with it, so that a run that goes away, or is made again, takes nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from puna.api.lineage import ModelLineage
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import RevisionRole
from puna.api.model_source import ModelSource, TrainingJobReference
from puna.api.reasons import Reason
from puna.api.training_status import ArtifactStatus, is_complete
from puna.api.trainingjob import TrainingJob
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.orders import Orders, read_orders
from puna.endpoint.restore import known_revisions
from puna.endpoint.revision import StoredRevision

Age: TypeAlias = tuple[datetime, datetime]
EVER: Final = datetime.min.replace(tzinfo=UTC)
NEVER: Final[Age] = (EVER, EVER)
"""Age of what was stored before lineage was."""


_RANKS: Final = {RevisionRole.RETIRED: 0, RevisionRole.STABLE: 1, RevisionRole.CANDIDATE: 2}


@dataclass(frozen=True, slots=True)
class Followed:
    """An endpoint with the file that it means."""

    endpoint: LLMEndpoint
    lineage: ModelLineage | None = None
    """Where the file comes from, if a TrainingJob made it."""


def follows(ref: TrainingJobReference, metadata: Manifest) -> bool:
    """Return whether a reference means the TrainingJob with such metadata."""
    if ref.selector is None:
        return bool(metadata["name"] == ref.name)
    return ref.selector.matches(metadata.get("labels", {}))


def followed(
    endpoint: LLMEndpoint, jobs: Iterable[TrainingJob], children: Iterable[Manifest]
) -> Followed | None:
    """Return the endpoint with the file that it means; None where there is none yet.

    It never goes back by itself: a run that is older than one that was followed before is not
    looked at. Without a newer one the endpoint means what it meant.
    """
    model = endpoint.spec.model
    ref = model.training_job_ref
    if ref is None:
        return Followed(endpoint)
    there = tuple(jobs)
    stored = [item for item in known_revisions(children) if item.data.model.training_job_ref == ref]
    made = [(_lineage(job, file), file) for job in there if (file := _file(job, ref)) is not None]
    newest, file = max(made, key=lambda item: _age(item[0]), default=(None, None))
    latest = max((_age(item.data.lineage) for item in stored), default=NEVER)
    if newest is not None and file is not None and _age(newest) >= latest:
        same = (item.data.lineage for item in stored if _is_of(item, newest.uid))
        lineage = next(same, None) or newest
        update = {"uri": file.uri, "sha256": file.sha256}
        return Followed(_with_model(endpoint, model.model_copy(update=update)), lineage)
    meant = _meant_before(stored, there, read_orders(endpoint.metadata.annotations))
    if meant is None:
        return None
    return Followed(_with_model(endpoint, meant.data.model), meant.data.lineage)


def _meant_before(
    stored: Sequence[StoredRevision], jobs: Iterable[TrainingJob], orders: Orders
) -> StoredRevision | None:
    """Return what the endpoint meant so far: the newest run's that has served, or comes.

    Where another one serves as ordered, that is the one that it was ordered to go back from. What
    was refused counts no more once its run is gone too: nobody means it any longer.
    """
    there = {job.metadata.uid for job in jobs}
    active = {item.name for item in stored if item.role is not RevisionRole.RETIRED}
    left = next((item for item in stored if _goes_back(orders, item, active)), None)
    meant = (item for item in stored if _counts(item, there))
    return left or max(meant, key=_newness, default=None)


def _goes_back(orders: Orders, left: StoredRevision, active: set[str]) -> bool:
    """Return whether an order to go back from a revision to an active one is in force."""
    order = orders.of(left.name).without(left.passed_over).rollback
    return order is not None and order.partition("/")[0] in active


def _counts(revision: StoredRevision, runs: set[str]) -> bool:
    """Return whether a revision may still be meant."""
    if revision.role is RevisionRole.RETIRED:
        return revision.promoted_at is not None
    lineage = revision.data.lineage
    return revision.outcome is None or (lineage is not None and lineage.uid in runs)


def _newness(revision: StoredRevision) -> tuple[Age, int]:
    """Return what tells the newer of two: its run, else what it is."""
    return _age(revision.data.lineage), _RANKS[revision.role]


def not_there_yet(endpoint: LLMEndpoint, observed: ObservedEndpoint) -> Finding:
    """Return what keeps an endpoint from having a model."""
    ref = endpoint.spec.model.training_job_ref
    assert ref is not None  # noqa: S101 - others have a uri
    namespace = endpoint.metadata.namespace
    if not observed.jobs:
        return Finding(
            Reason.TRAINING_JOB_NOT_FOUND,
            f"spec.model.trainingJobRef.name: there is no TrainingJob {ref.name} in namespace "
            f"{namespace}; create it or name another"
            if ref.selector is None
            else f"spec.model.trainingJobRef.selector: no TrainingJob in namespace {namespace} has "
            f"the labels {ref.selector}; create one or change the selector",
        )
    told = ", ".join(sorted(map(_told, observed.jobs)))
    return Finding(
        Reason.ARTIFACT_NOT_READY,
        f"spec.model.trainingJobRef.artifact: no TrainingJob has a verified {ref.artifact} yet: "
        f"{told}",
    )


def _told(job: TrainingJob) -> str:
    if not is_complete(job.status):
        return f"{job.metadata.name} is not complete"
    names = ", ".join(sorted(artifact.name for artifact in job.status.artifacts))
    return f"{job.metadata.name} has {names or 'none'}"


def _file(job: TrainingJob, ref: TrainingJobReference) -> ArtifactStatus | None:
    """Return the file of a run that is complete."""
    if not is_complete(job.status):
        return None
    return next((file for file in job.status.artifacts if file.name == ref.artifact), None)


def _lineage(job: TrainingJob, file: ArtifactStatus) -> ModelLineage:
    status = job.status
    return ModelLineage(
        job=job.metadata.name,
        uid=job.metadata.uid,
        created_at=job.metadata.creation_timestamp or EVER,
        completed_at=status.completion_time,
        seed=status.lineage.seed,
        data_hash=status.lineage.data_hash,
        tokenizer_hash=status.lineage.tokenizer_hash,
        scores=status.metrics,
        sha256=file.sha256,
    )


def _age(lineage: ModelLineage | None) -> Age:
    """Return what tells the newer of two runs: which was made later, not which ended later.

    A run that was made before another one and takes longer must not take that one's place.
    """
    if lineage is None:
        return NEVER
    return lineage.created_at, lineage.completed_at or EVER


def _is_of(revision: StoredRevision, uid: str) -> bool:
    return revision.data.lineage is not None and revision.data.lineage.uid == uid


def _with_model(endpoint: LLMEndpoint, model: ModelSource) -> LLMEndpoint:
    spec = endpoint.spec.model_copy(update={"model": model})
    return endpoint.model_copy(update={"spec": spec})

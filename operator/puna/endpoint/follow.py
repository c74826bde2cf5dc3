"""Following a TrainingJob: which file an endpoint means that names a run instead of a uri."""

from __future__ import annotations

from collections.abc import Iterable

from puna.api.llmendpoint import LLMEndpoint, ModelSource, RevisionRole
from puna.api.reasons import Reason
from puna.api.training_status import ArtifactStatus
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.revision import stored_revisions


def followed(
    endpoint: LLMEndpoint, artifact: ArtifactStatus | None, children: Iterable[Manifest]
) -> LLMEndpoint | None:
    """Return the endpoint with the file that it means; None where there is none yet.

    Without an artifact it is what the stable revision got from the same reference: a TrainingJob
    that was deleted, or runs again, takes nothing away.
    """
    model = endpoint.spec.model
    if model.training_job_ref is None:
        return endpoint
    if artifact is not None:
        update = {"uri": artifact.uri, "sha256": artifact.sha256}
        return _with_model(endpoint, model.model_copy(update=update))
    for revision in stored_revisions(children):
        known = revision.data.model
        if (
            revision.role is RevisionRole.STABLE
            and known.training_job_ref == model.training_job_ref
        ):
            return _with_model(endpoint, known)
    return None


def not_there_yet(endpoint: LLMEndpoint, observed: ObservedEndpoint) -> Finding:
    """Return what keeps an endpoint from having a model."""
    ref = endpoint.spec.model.training_job_ref
    assert ref is not None  # noqa: S101 - others have a uri
    if observed.artifacts is None:
        return Finding(
            Reason.TRAINING_JOB_NOT_FOUND,
            f"spec.model.trainingJobRef.name: there is no TrainingJob {ref.name} in namespace "
            f"{endpoint.metadata.namespace}; create it or name another",
        )
    names = ", ".join(sorted(observed.artifacts)) or "none"
    return Finding(
        Reason.ARTIFACT_NOT_READY,
        f"spec.model.trainingJobRef.artifact: TrainingJob {ref.name} has no verified "
        f"{ref.artifact} yet (it has: {names})",
    )


def _with_model(endpoint: LLMEndpoint, model: ModelSource) -> LLMEndpoint:
    spec = endpoint.spec.model_copy(update={"model": model})
    return endpoint.model_copy(update={"spec": spec})

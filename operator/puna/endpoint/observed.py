"""What one plan of an LLMEndpoint may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from puna.api.llmendpoint import ModelSource
from puna.api.preset import Preset
from puna.api.training_status import ArtifactStatus
from puna.core.findings import Finding
from puna.core.plan import Manifest, ObjectKey
from puna_fetch.config import Progress
from puna_router.config import EndpointState


@dataclass(frozen=True, slots=True)
class RouterObservation:
    """One ready router Pod and what it says of the endpoint."""

    pod: str
    reachable: bool
    state: EndpointState | None = None
    """Absent while the router has not seen the endpoint, or was not asked."""


@dataclass(frozen=True, slots=True)
class ObservedEndpoint:
    """Facts, read before a plan is made."""

    children: tuple[Manifest, ...] = ()
    """Live objects whose controller is the endpoint: Deployments, ControllerRevisions, ..."""
    pods: tuple[Manifest, ...] = ()
    """Its llama-server Pods, of all revisions."""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """Those Presets of the namespace that the spec names, as far as they exist."""
    missing_secrets: frozenset[str] = frozenset()
    """Secrets that the spec names and the namespace lacks."""
    claims: Mapping[str, Manifest] = field(default_factory=dict)
    """PersistentVolumeClaims that the spec names, as far as they exist."""
    artifacts: Mapping[str, ArtifactStatus] | None = None
    """Verified files of the TrainingJob that the spec names, none while it is not complete; None:
    there is no such TrainingJob."""
    foreign: frozenset[ObjectKey] = frozenset()
    """Objects with a wanted child's name that somebody else owns."""
    routers: tuple[RouterObservation, ...] = ()
    """Ready router Pods of the namespace."""
    routers_asked: bool = False
    """Whether their /state was read for this plan."""
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """Last progress line by Pod, of those that are fetching."""
    backend_key: Manifest | None = None
    """Secret `puna-backend-key` of the namespace, once it is there."""
    router_obstacle: Finding | None = None
    """What keeps the namespace's router from being built."""
    rejected: str | None = None
    """The API server's words, if it refused a child in the pass before."""


def artifact_of(
    model: ModelSource, artifacts: Mapping[str, ArtifactStatus] | None
) -> ArtifactStatus | None:
    """Return the file that a model's reference means, once it is there."""
    ref = model.training_job_ref
    return None if ref is None else (artifacts or {}).get(ref.artifact)

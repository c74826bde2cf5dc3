"""What one plan of an LLMEndpoint may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.core.findings import Finding
from puna.core.plan import Manifest, ObjectKey
from puna.endpoint.golden import GoldenReport
from puna.endpoint.samples import Reading
from puna_fetch.config import Progress
from puna_router.config import EndpointState


@dataclass(frozen=True, slots=True)
class RouterObservation:
    """One ready router Pod and what it says of the endpoint."""

    pod: str
    reachable: bool
    state: EndpointState | None = None
    """Absent while the router has not seen the endpoint, or was not asked."""
    reading: Reading | None = None
    """What it has counted; absent if it was not asked, or did not answer in time."""


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
    jobs: tuple[TrainingJob, ...] = ()
    """TrainingJobs that the spec names or selects, whatever has become of them."""
    foreign: frozenset[ObjectKey] = frozenset()
    """Objects with a wanted child's name that somebody else owns."""
    routers: tuple[RouterObservation, ...] = ()
    """Ready router Pods of the namespace."""
    routers_asked: bool = False
    """Whether their /state was read for this plan."""
    unread: str | None = None
    """Why it is not known what they have counted, where Prometheus is to tell."""
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """Last progress line by Pod, of those that are fetching."""
    golden: GoldenReport | None = None
    """What has come of the candidate's golden prompts, while they are being asked."""
    backend_key: Manifest | None = None
    """Secret `puna-backend-key` of the namespace, once it is there."""
    router_obstacle: Finding | None = None
    """What keeps the namespace's router from being built."""
    rejected: str | None = None
    """The API server's words, if it refused a child in the pass before."""

"""Status of an LLMEndpoint."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna.api.analysis import CanaryVerdict
from puna.api.conditions import Condition
from puna.api.lineage import ModelLineage
from puna.api.pool import Accelerator
from puna.api.replacement import ReplacementStatus
from puna.api.resource import Model
from puna.api.routing import Routing


class PoolStatus(Model):
    """Observed servers of one pool."""

    name: str
    """Name of the pool."""
    accelerator: Accelerator
    """Kind of hardware."""
    replicas: int = 0
    """Pods that exist, of all revisions."""
    ready_replicas: int = 0
    """Pods that are ready, of all revisions."""


class FetchStatus(Model):
    """How far a running fetch of the model is; absent when none runs."""

    stage: str
    """Waiting, Downloading or Verifying."""
    completed_bytes: int = 0
    """Bytes done."""
    total_bytes: int | None = None
    """Bytes in all, once known."""
    bytes_per_second: int | None = None
    """Speed."""
    message: str | None = None
    """Why the source is being asked again, if it is."""
    pod: str
    """The Pod that fetches (the slowest, if several do)."""


class RevisionRole(StrEnum):
    """Part that a revision plays."""

    STABLE = "Stable"
    """Users are served by it."""
    CANDIDATE = "Candidate"
    """It is what the spec means, and is to take over unless it was aborted or failed."""
    RETIRED = "Retired"
    """The spec meant it before."""


class Outcome(StrEnum):
    """How a canary ended that did not take over."""

    ABORTED = "Aborted"
    """It was aborted; it gets no requests until the spec has meant another revision."""
    FAILED = "Failed"
    """What was asked of it was not met; it gets no requests until the spec has meant another
    revision."""


class CanaryStatus(Model):
    """A revision that gets a share of the requests; absent while there is none."""

    revision: str
    """Name of the revision."""
    weight: int
    """Percent of the requests that it gets."""
    step: int
    """Number of its step, counted from 1; 0 while its servers start."""
    steps: int
    """How many steps there are."""
    started_at: datetime | None = None
    """When the step began."""
    hold_until: datetime | None = None
    """When the step's hold is over; absent where it waits for promotion."""
    verdict: CanaryVerdict | None = None
    """What was measured of it, as far as that is asked for."""


class RollbackStatus(Model):
    """A revision that serves, or is to serve, instead of the one that the spec means."""

    revision: str
    """Name of the revision."""
    instead_of: str
    """The revision that the spec means."""


class RevisionStatus(Model):
    """One stored revision."""

    name: str
    """Eight hex digits over everything that changes answers or processes."""
    model: str
    """Uri of its model."""
    preset: str | None = None
    """Its preset."""
    role: RevisionRole
    """Part it plays."""
    outcome: Outcome | None = None
    """How its canary ended, if it did not take over."""
    verdict: str | None = None
    """What it failed by: the arithmetic of the metric that decided."""
    created_at: datetime | None = None
    """When it was stored."""
    promoted_at: datetime | None = None
    """When it took over from another one."""
    lineage: ModelLineage | None = None
    """Where its model comes from, if a TrainingJob made it."""


class Summary(Model):
    """Texts for the columns of `kubectl get`, derived from the rest of the status."""

    ready: str = ""
    """Ready and wanted servers, for example 2/2."""
    model: str = ""
    """File name of the stable revision's model."""
    pools: str = ""
    """Pools with their ready and wanted servers."""
    rollout: str = ""
    """What is being rolled out."""


class LLMEndpointStatus(Model):
    """What is observed of an LLMEndpoint."""

    observed_generation: int = 0
    """Generation of the spec that this speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra={"listMapKeys": ["type"]})
    ] = ()
    """Accepted, ResolvedRefs, ModelReady, Available, Progressing, Ready."""
    replicas: int = 0
    """Pods that exist, of all revisions."""
    ready_replicas: int = 0
    """Pods that are ready, of all revisions."""
    selector: str = ""
    """Label selector of the Pods, for the scale subresource."""
    url: str = ""
    """Base url for OpenAI clients."""
    stable_revision: str | None = None
    """Revision that users are served by."""
    canary: CanaryStatus | None = None
    """Revision that gets a share of the requests."""
    replacement: ReplacementStatus | None = None
    """Replace that is about to begin, or by which the stable revision took over."""
    rollback: RollbackStatus | None = None
    """The order to roll back that is in force."""
    routing: Routing | None = None
    """Routing in force: the spec's values and the operator's defaults."""
    fetch: FetchStatus | None = None
    """Progress of the model's fetch."""
    pools: Annotated[
        tuple[PoolStatus, ...], Field(max_length=8, json_schema_extra={"listMapKeys": ["name"]})
    ] = ()
    """Servers by pool."""
    revisions: Annotated[
        tuple[RevisionStatus, ...],
        Field(max_length=16, json_schema_extra={"listMapKeys": ["name"]}),
    ] = ()
    """Stored revisions, newest first."""
    summary: Summary = Summary()
    """Texts for `kubectl get`."""

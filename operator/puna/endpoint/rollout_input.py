"""Rollout input: all that one step of a rollout follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from puna.api.analysis import CanaryVerdict, MetricVerdict
from puna.api.rollout import Canary, RolloutStrategy
from puna.endpoint.orders import Orders
from puna.endpoint.replacement import Servers
from puna.endpoint.revision import StoredRevision
from puna.endpoint.samples import Reading


@dataclass(frozen=True, slots=True)
class RolloutInput:
    """What the decision is made from."""

    wanted: StoredRevision
    """The revision that the spec means; stored already or not."""
    stored: tuple[StoredRevision, ...]
    strategy: RolloutStrategy
    complete: Mapping[str, bool]
    """Whether all wanted replicas of a process are ready, by process hash."""
    live: frozenset[str]
    """Process hashes that have a Deployment which is not being deleted."""
    pods: frozenset[str]
    """Process hashes that have Pods, ending ones too."""
    serving: frozenset[str]
    """Process hashes that have a ready Pod."""
    canary: Canary | None = None
    """Steps of strategy Canary."""
    ready: bool = False
    """Whether the wanted process has the servers of a canary."""
    orders: Orders = field(default_factory=Orders)
    """What people say of the wanted revision."""
    given: Orders = field(default_factory=Orders)
    """What people say of any revision."""
    instead_of: str | None = None
    """The revision that the spec means, where the wanted one serves instead, as ordered."""
    refused: bool = False
    """Whether a router refuses what it is told: no share of requests would change."""
    gate: CanaryVerdict | None = None
    """On what has to pass before the wanted revision's first weight; None: nothing has to."""
    readings: tuple[Reading, ...] = ()
    """What routers have counted, as far as they were asked and answered."""
    unread: str | None = None
    """Why nothing is known of it, where Prometheus is to tell."""
    crashes: MetricVerdict | None = None
    """That the wanted process's servers end again and again; None: they do not."""
    servers: Servers = field(default_factory=Servers)
    """What a Replace interrupts."""

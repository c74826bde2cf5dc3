"""Replacement: what a Replace interrupts, said before it begins and measured afterwards.

Strategy Replace ends the old servers before the new ones start. Nothing is read back but what is
stored with the new revision: an operator that is started anew goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from puna.api.replacement import ReplacementStatus
from puna.core.naming import LABEL_PROCESS
from puna.core.plan import Manifest
from puna.core.readiness import is_ready
from puna.endpoint.observed import RouterObservation

NOTICE: Final = timedelta(seconds=3)
"""Time between the announcement and the end of the old servers."""
SLACK: Final = timedelta(seconds=5)
"""How late something is seen at most by an operator that runs."""
SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Servers:
    """What is seen of servers, by process hash."""

    under_way: Mapping[str, int] = field(default_factory=dict)
    """Requests that run on them; absent where a router did not say."""
    start: Mapping[str, timedelta] = field(default_factory=dict)
    """Shortest time from a Pod's creation until it was ready."""
    ready_since: Mapping[str, datetime] = field(default_factory=dict)
    """When the first of those that are ready became it."""
    answering: frozenset[str] = frozenset()
    """Processes with a server that a router holds for healthy, or without routers, a ready one."""


def look_at(pods: Iterable[Manifest], routers: tuple[RouterObservation, ...]) -> Servers:
    """Return what Pods and routers say of servers."""
    start: dict[str, timedelta] = {}
    since: dict[str, datetime] = {}
    for pod in filter(is_ready, pods):
        process = pod["metadata"].get("labels", {}).get(LABEL_PROCESS, "")
        ready_at = _ready_at(pod)
        if ready_at is None:
            continue
        since[process] = min(ready_at, since.get(process, ready_at))
        took = ready_at - datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        start[process] = min(took, start.get(process, took))
    return Servers(
        under_way=_under_way(routers),
        start=start,
        ready_since=since,
        answering=_healthy(routers) if routers else frozenset(since),
    )


def _healthy(routers: Iterable[RouterObservation]) -> frozenset[str]:
    return frozenset(
        backend.process
        for router in routers
        if router.state is not None
        for backend in router.state.backends
        if backend.healthy
    )


def is_due(known: ReplacementStatus | None, replaces: str, now: datetime) -> bool:
    """Return whether the end of the old servers has been announced for long enough."""
    return known is not None and known.replaces == replaces and now - known.announced_at >= NOTICE


def announced(
    known: ReplacementStatus | None,
    *,
    revision: str,
    replaces: str,
    process: str,
    servers: Servers,
    now: datetime,
) -> ReplacementStatus:
    """Return the announcement, as what is seen now; `process` is that of the old servers."""
    start = servers.start.get(process)
    same = known is not None and known.replaces == replaces
    return ReplacementStatus(
        revision=revision,
        replaces=replaces,
        announced_at=known.announced_at if known is not None and same else now,
        under_way=servers.under_way.get(process),
        expected_gap_seconds=None if start is None else math.ceil(start / SECOND),
    )


def measured(
    known: ReplacementStatus | None,
    *,
    gone: bool,
    promoted_at: datetime | None,
    answers: bool,
    ready_since: datetime | None,
    now: datetime,
) -> ReplacementStatus | None:
    """Return a replacement with the ends of its gap, each once it is seen.

    `gone` says that no old server takes requests, `answers` that a new one does. What happened
    while no operator ran has the time at which Kubernetes noted it.
    """
    if known is None or known.gap_ended_at is not None:
        return known
    began = known.gap_began_at
    if began is None and gone:
        began = _noted(promoted_at, now)
    if began is None or not answers:
        return known.model_copy(update={"gap_began_at": began})
    ended = max(began, _noted(ready_since, now))
    seconds = round((ended - began) / SECOND, 1)
    return known.model_copy(
        update={"gap_began_at": began, "gap_ended_at": ended, "gap_seconds": seconds}
    )


def announcement(known: ReplacementStatus, *, grace: int, patience: int) -> str:
    """Return what a replacement will interrupt.

    `grace` is the longest time that requests may go on for, `patience` that they wait for, in
    seconds.
    """
    return (
        f"Replace: revision {known.revision} takes the place of {known.replaces} in a moment: "
        f"{_requests(known.under_way)}, and what runs after {grace} s more is cut off; then no "
        f"server answers{_expected(known)}, and requests wait, each up to {patience} s "
        "(spec.routing.queue)"
    )


def began_message(known: ReplacementStatus) -> str:
    """Return what a replacement interrupts."""
    return (
        f"revision {known.revision} takes the place of {known.replaces}, whose servers end: "
        f"{_requests(known.under_way)}; no server answers afterwards{_expected(known)}"
    )


def gap_message(known: ReplacementStatus) -> str:
    """Return how long no server answered."""
    expected = known.expected_gap_seconds
    compared = "" if expected is None else f", where about {expected} s were expected"
    return (
        f"no server answered for {known.gap_seconds} s while revision {known.revision} took the "
        f"place of {known.replaces}{compared}"
    )


def _requests(count: int | None) -> str:
    if count is None:
        return "how many requests are under way is not known"
    return "1 request is under way" if count == 1 else f"{count} requests are under way"


def _expected(known: ReplacementStatus) -> str:
    seconds = known.expected_gap_seconds
    if seconds is None:
        return " until a new one has started"
    return f" for about {seconds} s, as long as the present ones took to start"


def _noted(time: datetime | None, now: datetime) -> datetime:
    """Return the present time, or, of what is older than an operator that runs would see, its own.

    Kubernetes tells whole seconds.
    """
    return now if time is None or now - time <= SLACK else time


def _ready_at(pod: Manifest) -> datetime | None:
    """Return since when a Pod is ready; None where nobody said: the API server lets it be null."""
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready" and condition.get("lastTransitionTime"):
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def _under_way(routers: Iterable[RouterObservation]) -> dict[str, int]:
    """Return the requests of all routers by process, without those of which one does not say."""
    counts: dict[str, int] = {}
    unknown: set[str] = set()
    for router in routers:
        if router.state is None:
            return {}
        for backend in router.state.backends:
            if backend.in_flight is None:
                unknown.add(backend.process)
            else:
                counts[backend.process] = counts.get(backend.process, 0) + backend.in_flight
    return {process: count for process, count in counts.items() if process not in unknown}

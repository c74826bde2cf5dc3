"""When to look at an endpoint again without being woken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from puna.api.conditions import find
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.reasons import ConditionType
from puna.api.replacement import ReplacementStatus
from puna.endpoint.diagnosis import is_fetching
from puna.endpoint.judgement import View
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.replacement import NOTICE

LONGEST_WAIT: Final = timedelta(seconds=10)
PROGRESS_INTERVAL: Final = timedelta(seconds=2)
ROUTER_INTERVAL: Final = timedelta(milliseconds=100)
BEHIND_INTERVAL: Final = timedelta(seconds=1)
"""While routers serve, and follow a change that Ready does not depend on."""
JUDGE_INTERVAL: Final = timedelta(seconds=5)
"""While something is measured of a canary."""
REJECTED_INTERVAL: Final = timedelta(seconds=60)
NOTICE_INTERVAL: Final = timedelta(seconds=1)
"""While a Replace is announced: how many requests are under way changes."""
SECRET_INTERVAL: Final = timedelta(seconds=60)
"""A Secret with API keys is no object that the operator watches."""


def look_again(
    view: View, status: LLMEndpointStatus, observed: ObservedEndpoint, *, keyed: bool
) -> timedelta | None:
    """Return when to look without being woken; None once everything is told by watches."""
    if observed.rejected is not None:
        return REJECTED_INTERVAL
    waits = list(_waits(view, status, observed, keyed=keyed))
    return min(waits, default=None)


def _waits(
    view: View, status: LLMEndpointStatus, observed: ObservedEndpoint, *, keyed: bool
) -> Iterator[timedelta]:
    if view.canary is not None and view.canary.hold_until is not None:
        hold = view.canary.hold_until - view.now
        if hold > timedelta():
            yield hold
    if view.replacement is not None:
        yield from _waits_of(view.replacement, view)
    if view.judged:
        yield JUDGE_INTERVAL
    if view.retiring:
        yield _router_interval(view.changed_at, view.now)
    elif view.complete and (view.wanted_replicas or view.external):
        if not view.routers_serve:
            ready = find(status.conditions, ConditionType.READY)
            yield _router_interval(ready.last_transition_time if ready else None, view.now)
        elif view.routers_behind:
            yield BEHIND_INTERVAL
    if observed.golden is not None or view.fetching or any(map(is_fetching, observed.pods)):
        yield PROGRESS_INTERVAL
    if view.closed is not None:
        yield LONGEST_WAIT
    elif keyed:
        yield SECRET_INTERVAL


def _waits_of(replacement: ReplacementStatus, view: View) -> Iterator[timedelta]:
    """Yield when a Replace begins, and while its gap is open, when a router may see it close."""
    if view.candidate is not None and view.candidate.name == replacement.revision:
        yield min(
            NOTICE_INTERVAL, max(ROUTER_INTERVAL, replacement.announced_at + NOTICE - view.now)
        )
    elif (
        view.stable is not None
        and replacement.gap_began_at is not None
        and replacement.gap_ended_at is None
        and view.stable.process in view.census.serving
    ):
        yield ROUTER_INTERVAL


def _router_interval(since: datetime | None, now: datetime) -> timedelta:
    """Return a tenth of the wait so far: a router that does not come round soon has a fault."""
    waited = now - since if since is not None else timedelta()
    return min(max(waited / 10, ROUTER_INTERVAL), LONGEST_WAIT)

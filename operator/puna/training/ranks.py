"""Ranks: what the Pods of an attempt's other ranks say of its end.

An attempt bears the name of its Pod of rank 0. When one Pod ends all others do, so that the Pods of
one attempt are those that were there at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from puna.api.reasons import Reason
from puna.core.plan import Manifest
from puna.training.outcome import (
    SUFFERED,
    UNCOUNTED,
    End,
    created,
    end_of,
    is_disrupted,
    is_running,
    rank_of,
)


def attempt_end(pod: Manifest, pods: Iterable[Manifest], *, ranks: int) -> End | None:
    """Return how the attempt of a Pod of rank 0 ended; None while it may still run.

    One that lost another rank ended as that one did, if Kubernetes took it away. Of a node that is
    out of sight nobody says yet that its Pods have ended: that is waited for.

    Args:
        pod: of rank 0.
        pods: of all ranks and attempts.
        ranks: how many Pods train together.
    """
    end = end_of(pod)
    if end is None or end.reason not in SUFFERED or ranks == 1:
        return end
    others = [other for other in pods if rank_of(other) and _are_of_one_time(pod, end, other)]
    # Of each rank the first one: another may already have taken its place.
    first = {rank_of(other): other for other in sorted(others, key=created, reverse=True)}
    taken = [rank_of(other) for other in others if _is_taken_away(other)]
    taken += [rank for rank in range(1, ranks) if rank not in first]
    if taken:
        message = f"the Pod of rank {min(taken)} was taken away: {end.message}"
        return replace(end, reason=Reason.DISRUPTED, message=message)
    return None if any(map(is_running, first.values())) else end


def attempt_number(pods: Iterable[Manifest], pod: Manifest, end: End) -> int:
    """Return which attempt a Pod of any rank ended in, by the Pods of rank 0 until then.

    Whoever was made in one second is of one attempt, though a Pod may have ended in it too.
    """
    made, at = created(pod), end.finished_at or created(pod)
    leading = [created(other) for other in pods if rank_of(other) == 0]
    return sum(time < at or time <= made for time in leading)


def _are_of_one_time(pod: Manifest, end: End, other: Manifest) -> bool:
    if end.finished_at is not None and created(other) >= end.finished_at:
        return False
    its = end_of(other)
    return its is None or (its.finished_at or created(other)) >= created(pod)


def _is_taken_away(pod: Manifest) -> bool:
    end = end_of(pod)
    planned = end is not None and end.reason in UNCOUNTED
    return planned or is_disrupted(pod) or "deletionTimestamp" in pod["metadata"]

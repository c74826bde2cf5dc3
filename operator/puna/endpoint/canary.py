"""Canary: which share of the requests a new revision gets, and when it takes over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from puna.api.analysis import Result
from puna.api.pool import Pool
from puna.api.rollout import Canary, CanaryStep


class Verdict(Enum):
    """What is said of a canary by people, or by the routers."""

    CONTINUE = auto()
    """Nothing stands in the way of the next step."""
    HOLD = auto()
    """It stays at its step."""
    PROMOTE = auto()
    """It takes over as soon as it has all servers."""
    ABORT = auto()
    """It gets no more requests."""


class End(Enum):
    """How a canary ends by itself or by a verdict."""

    PROMOTED = auto()
    ABORTED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Position:
    """How far a canary has come; stored with its revision."""

    step: int | None = None
    """Index of the step whose weight it gets; None: it gets nothing."""
    since: datetime | None = None
    """When it got its present weight; None: it never had one."""


def next_step(
    position: Position,
    steps: Sequence[CanaryStep],
    *,
    verdict: Verdict,
    ready: bool,
    complete: bool,
    now: datetime,
    gate: Result = Result.PASS,
    measured: Result = Result.PASS,
) -> Position | End:
    """Return where a canary goes from its position, which is all that is remembered of it.

    `ready` says that the servers of a canary are up, `complete` that those of a stable revision
    are. `gate` has to pass before the first weight, `measured` before every step after it; where
    the one that counts fails, the canary ends at once. An order to promote overrides both.
    """
    if verdict is Verdict.ABORT:
        return End.ABORTED
    step = present_step(position, steps)
    result = gate if step is None else measured
    if verdict is not Verdict.PROMOTE and result is Result.FAIL:
        return End.FAILED
    if verdict is Verdict.HOLD:
        return position
    if verdict is Verdict.PROMOTE:
        return End.PROMOTED if complete else position
    if result is not Result.PASS:
        return position
    if step is None:
        return Position(0, now) if ready else position
    if not _is_held(position, steps, now):
        return position
    if step == _last(steps):
        return End.PROMOTED if complete else position
    enough = complete if step + 1 == _last(steps) else ready
    return Position(step + 1, now) if enough else position


def present_step(position: Position, steps: Sequence[CanaryStep]) -> int | None:
    """Return the index of the present step; the spec may have fewer steps than it had."""
    return None if position.step is None else min(position.step, _last(steps))


def weight_of(position: Position, steps: Sequence[CanaryStep]) -> int:
    """Return the percent of the requests that a canary gets."""
    step = present_step(position, steps)
    return 0 if step is None else steps[step].weight


def hold_until(position: Position, steps: Sequence[CanaryStep]) -> datetime | None:
    """Return when the present step has been held; None where it waits for promotion."""
    step = present_step(position, steps)
    if step is None or position.since is None:
        return None
    seconds = steps[step].hold_seconds
    return None if seconds is None else position.since + timedelta(seconds=seconds)


def is_overdue(
    position: Position, steps: Sequence[CanaryStep], *, deadline_seconds: int, now: datetime
) -> bool:
    """Return whether a step has been over for longer than it may take to pass."""
    until = hold_until(position, steps)
    return until is not None and now >= until + timedelta(seconds=deadline_seconds)


def needs_all(
    position: Position, steps: Sequence[CanaryStep], *, verdict: Verdict, now: datetime
) -> bool:
    """Return whether a canary needs all servers: for what comes next, or for the last step."""
    if verdict is Verdict.PROMOTE:
        return True
    step = present_step(position, steps)
    if step is None:
        return False
    if step == _last(steps) and step > 0:
        return True
    return _is_held(position, steps, now) and step + 1 >= _last(steps)


def canary_pools(pools: Iterable[Pool], canary: Canary) -> tuple[Pool, ...]:
    """Return the pools with the servers of a canary."""
    return tuple(
        pool.model_copy(update={"replicas": min(pool.replicas, canary.replicas)}) for pool in pools
    )


def _is_held(position: Position, steps: Sequence[CanaryStep], now: datetime) -> bool:
    until = hold_until(position, steps)
    return until is not None and now >= until


def _last(steps: Sequence[CanaryStep]) -> int:
    return len(steps) - 1

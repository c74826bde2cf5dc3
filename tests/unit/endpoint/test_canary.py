from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.api.analysis import Result
from puna.api.rollout import Canary, CanaryStep
from puna.endpoint.canary import (
    End,
    Position,
    Verdict,
    canary_pools,
    hold_until,
    needs_all,
    next_step,
    weight_of,
)
from puna.endpoint.effective import pools_of
from puna.endpoint.revision import build_revision, stored_revisions
from tests.factories import NOW, endpoint, revision
from tests.strategies import canary_steps

Steps = tuple[CanaryStep, ...]
VERDICTS = st.sampled_from(list(Verdict))


def steps_of(*shares: tuple[int, int | None]) -> Steps:
    return tuple(CanaryStep(weight=weight, hold_seconds=hold) for weight, hold in shares)


THREE = steps_of((5, 60), (25, 60), (50, 60))
BY_HAND = steps_of((10, None))
ANY_STEPS = canary_steps().map(lambda steps: Canary.model_validate({"steps": steps}).steps)


def after(position: Position, steps: Steps, **overrides: Any) -> Position | End:
    """The next step of a canary that nothing stands in the way of."""
    given: dict[str, Any] = {
        "verdict": Verdict.CONTINUE,
        "ready": True,
        "complete": True,
        "now": NOW,
    }
    return next_step(position, steps, **(given | overrides))


def held(step: int, seconds: int) -> Position:
    return Position(step, NOW - timedelta(seconds=seconds))


def test_a_canary_gets_nothing_before_its_servers_are_ready() -> None:
    assert after(Position(), THREE, ready=False) == Position()
    assert weight_of(Position(), THREE) == 0
    assert after(Position(), THREE) == Position(0, NOW)
    assert weight_of(Position(0, NOW), THREE) == 5


def test_a_step_is_held_before_the_next_one() -> None:
    assert after(held(0, 59), THREE) == held(0, 59)
    assert after(held(0, 60), THREE) == Position(1, NOW)
    assert hold_until(held(0, 59), THREE) == NOW + timedelta(seconds=1)


def test_all_servers_are_there_before_the_last_of_several_steps() -> None:
    assert after(held(0, 60), THREE, complete=False) == Position(1, NOW)
    assert not needs_all(held(1, 59), THREE, verdict=Verdict.CONTINUE, now=NOW)
    assert needs_all(held(1, 60), THREE, verdict=Verdict.CONTINUE, now=NOW)
    assert after(held(1, 60), THREE, complete=False) == held(1, 60)
    assert after(held(1, 60), THREE) == Position(2, NOW)
    assert needs_all(Position(2, NOW), THREE, verdict=Verdict.CONTINUE, now=NOW)


def test_a_canary_takes_over_when_its_last_step_was_held_and_it_is_complete() -> None:
    assert after(held(2, 60), THREE, complete=False) == held(2, 60)
    assert after(held(2, 60), THREE) is End.PROMOTED


def test_a_single_step_keeps_its_few_servers_until_it_is_to_take_over() -> None:
    timed = steps_of((10, 60))
    assert not needs_all(held(0, 59), timed, verdict=Verdict.CONTINUE, now=NOW)
    assert needs_all(held(0, 60), timed, verdict=Verdict.CONTINUE, now=NOW)


def test_a_step_without_a_hold_waits_for_promotion() -> None:
    waiting = held(0, 1_000_000)
    assert hold_until(waiting, BY_HAND) is None
    assert after(waiting, BY_HAND) == waiting
    assert not needs_all(waiting, BY_HAND, verdict=Verdict.CONTINUE, now=NOW)
    assert needs_all(waiting, BY_HAND, verdict=Verdict.PROMOTE, now=NOW)
    assert after(waiting, BY_HAND, verdict=Verdict.PROMOTE, complete=False) == waiting
    assert after(waiting, BY_HAND, verdict=Verdict.PROMOTE) is End.PROMOTED


@pytest.mark.parametrize("position", [Position(), held(0, 0), held(1, 60), held(2, 60)])
def test_a_verdict_to_hold_keeps_everything_as_it_is(position: Position) -> None:
    assert after(position, THREE, verdict=Verdict.HOLD) == position


def test_fewer_steps_than_before_leave_a_canary_at_the_last_one() -> None:
    assert weight_of(Position(2, NOW), steps_of((5, 60), (10, None))) == 10


def test_a_canary_has_some_servers_in_each_pool_and_never_more_than_the_pool() -> None:
    pools = pools_of(
        endpoint(
            pools=[
                {"name": name, "accelerator": "cpu", "replicas": replicas}
                for name, replicas in (("a", 3), ("b", 1), ("c", 0))
            ]
        ).spec
    )
    canary = Canary(steps=BY_HAND, replicas=2)
    assert [pool.replicas for pool in canary_pools(pools, canary)] == [2, 1, 0]


def test_a_gate_is_passed_before_the_first_weight_and_asked_for_no_more_after() -> None:
    for result in (Result.INCONCLUSIVE, Result.ERROR):
        assert after(Position(), THREE, gate=result) == Position()
    assert after(Position(), THREE, gate=Result.FAIL) is End.FAILED
    assert after(Position(), THREE, measured=Result.ERROR) == Position(0, NOW)
    assert after(held(0, 60), THREE, gate=Result.FAIL) == Position(1, NOW)


def test_a_step_follows_once_it_was_held_and_what_was_measured_passes() -> None:
    for result in (Result.INCONCLUSIVE, Result.ERROR):
        assert after(held(0, 600), THREE, measured=result) == held(0, 600)
        assert after(held(2, 600), THREE, measured=result) == held(2, 600)
    assert after(held(0, 59), THREE, measured=Result.PASS) == held(0, 59)


def test_what_fails_ends_a_canary_at_once_whatever_its_hold_and_its_servers() -> None:
    assert after(held(0, 1), THREE, measured=Result.FAIL, ready=False) is End.FAILED
    held_by_router = after(held(0, 1), THREE, measured=Result.FAIL, verdict=Verdict.HOLD)
    assert held_by_router is End.FAILED


def test_an_order_to_promote_overrides_what_was_measured() -> None:
    given = {"gate": Result.FAIL, "measured": Result.FAIL, "verdict": Verdict.PROMOTE}
    assert after(Position(), THREE, **given) is End.PROMOTED
    assert after(held(0, 1), THREE, **given) is End.PROMOTED


@dataclass(frozen=True)
class Moment:
    """What a canary meets at one look."""

    verdict: Verdict
    ready: bool
    complete: bool
    seconds: int
    gate: Result = Result.PASS
    measured: Result = Result.PASS


RESULTS = st.sampled_from([Result.PASS, *Result])
MOMENTS = st.builds(
    Moment, VERDICTS, st.booleans(), st.booleans(), st.integers(0, 90), RESULTS, RESULTS
)


@given(ANY_STEPS, st.lists(MOMENTS, max_size=30))
def test_a_weight_stays_in_range_rises_on_a_pass_and_falls_by_an_end_alone(
    steps: Steps, moments: list[Moment]
) -> None:
    position, now, weight = Position(), NOW, 0
    for moment in moments:
        now += timedelta(seconds=moment.seconds)
        moved = next_step(
            position,
            steps,
            verdict=moment.verdict,
            ready=moment.ready,
            complete=moment.complete,
            now=now,
            gate=moment.gate,
            measured=moment.measured,
        )
        result = moment.gate if position.step is None else moment.measured
        if moved is End.ABORTED:
            assert moment.verdict is Verdict.ABORT
            return
        if moved is End.FAILED:
            assert result is Result.FAIL
            assert moment.verdict in {Verdict.CONTINUE, Verdict.HOLD}
            return
        if moved is End.PROMOTED:
            assert moment.complete
            assert moment.verdict is Verdict.PROMOTE or result is Result.PASS
            return
        assert moment.verdict is not Verdict.ABORT
        assert isinstance(moved, Position)
        assert weight <= weight_of(moved, steps) <= 100
        assert moved == position or result is Result.PASS
        position, weight = moved, weight_of(moved, steps)


@given(ANY_STEPS, st.lists(MOMENTS, max_size=20))
def test_no_step_is_cut_short_and_none_is_left_out(steps: Steps, moments: list[Moment]) -> None:
    position, now = Position(), NOW
    for moment in moments:
        now += timedelta(seconds=moment.seconds)
        moved = after(position, steps, ready=moment.ready, complete=moment.complete, now=now)
        if moved == position:
            continue
        if position.step is not None:
            until = hold_until(position, steps)
            assert until is not None
            assert now >= until
        if not isinstance(moved, Position):
            assert position.step == len(steps) - 1
            return
        assert moved == Position(0 if position.step is None else position.step + 1, now)
        position = moved


@given(ANY_STEPS, st.integers(0, 3), st.booleans())
def test_a_canary_ends_once_its_servers_are_there_and_time_passes(
    steps: Steps,
    start: int,
    started: bool,  # noqa: FBT001 - drawn
) -> None:
    position: Position | End = Position(min(start, len(steps) - 1), NOW) if started else Position()
    now = NOW
    for _ in range(len(steps) + 1):
        assert isinstance(position, Position)
        now = hold_until(position, steps) or now
        position = after(position, steps, now=now)
        if position is End.PROMOTED:
            return
    assert steps[-1].hold_seconds is None
    assert after(Position(len(steps) - 1, now), steps, verdict=Verdict.PROMOTE) is End.PROMOTED


@given(ANY_STEPS, MOMENTS, st.none() | st.integers(0, 3))
def test_an_abort_reaches_nothing_in_one_step(
    steps: Steps, moment: Moment, step: int | None
) -> None:
    position = Position(step, None if step is None else NOW)
    moved = after(position, steps, verdict=Verdict.ABORT, ready=moment.ready)
    assert moved is End.ABORTED
    failed = after(position, steps, ready=moment.ready, gate=Result.FAIL, measured=Result.FAIL)
    assert failed is End.FAILED


@given(st.none() | st.integers(0, 9), st.none() | st.datetimes())
def test_a_position_is_read_back_as_it_was_stored(step: int | None, since: datetime | None) -> None:
    stored = revision(position=Position(step, since))
    (again,) = stored_revisions(
        [build_revision(stored, namespace="team", endpoint="chat", next_number=1)]
    )
    assert again.position == stored.position


@given(ANY_STEPS, MOMENTS, st.none() | st.integers(0, 9), st.integers(0, 90))
def test_a_canary_is_never_stuck_for_want_of_servers_that_nobody_asked_for(
    steps: Steps, moment: Moment, step: int | None, seconds: int
) -> None:
    """What holds a canary back is what it is given: few servers, or all."""
    position = Position(step, None if step is None else NOW)
    now = NOW + timedelta(seconds=seconds)
    verdict = Verdict.PROMOTE if moment.verdict is Verdict.PROMOTE else Verdict.CONTINUE
    everything = needs_all(position, steps, verdict=verdict, now=now)
    few = after(position, steps, verdict=verdict, complete=False, now=now)
    all_of_them = after(position, steps, verdict=verdict, now=now)
    assert everything or few == all_of_them

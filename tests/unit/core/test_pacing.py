"""Paces: what is written for numbers alone, and how old what is shown becomes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from puna.core.pacing import EARLY, WRITE_INTERVAL, is_due, next_turn, wait_for_turn

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def written(lines: list[float]) -> list[tuple[datetime, datetime]]:
    """When each write comes and the line that it tells, if lines come at these seconds."""
    turn, due, newest = None, None, BEGIN
    writes: list[tuple[datetime, datetime]] = []
    for at in [BEGIN + seconds * SECOND for seconds in lines]:
        if due is not None and due <= at:
            writes.append((due, newest))
            turn, due = next_turn(turn, due), None
        newest = at
        wanted = at + wait_for_turn(turn, at)
        due = wanted if due is None else min(due, wanted)
        if due <= at:
            writes.append((at, at))
            turn, due = next_turn(turn, at), None
    return writes


def oldest(writes: list[tuple[datetime, datetime]]) -> float:
    """Age of a shown line, in seconds, when the next one replaces it."""
    return max(
        (after - line).total_seconds() for (_, line), (after, _) in itertools.pairwise(writes)
    )


@given(st.lists(st.floats(0.01, 12), min_size=2, max_size=200))
def test_there_is_never_more_than_one_write_for_each_interval(pauses: list[float]) -> None:
    lines = [sum(pauses[: index + 1]) for index in range(len(pauses))]
    times = [at for at, _ in written(lines)]
    for index, first in enumerate(times):
        for number, later in enumerate(times[index + 1 :], start=1):
            assert later - first >= number * WRITE_INTERVAL - EARLY


@given(st.lists(st.floats(0, 0.1), min_size=60, max_size=60))
def test_what_a_steady_sender_tells_is_never_shown_for_much_longer_than_the_interval(
    jitters: list[float],
) -> None:
    assert oldest(written([index + late for index, late in enumerate(jitters)])) <= 5.2


def test_a_line_of_just_before_the_turn_is_written_early_and_the_turn_stays() -> None:
    turn = BEGIN + WRITE_INTERVAL
    assert is_due(turn, turn - EARLY)
    assert not is_due(turn, turn - 2 * EARLY)
    assert next_turn(turn, turn - EARLY) == turn + WRITE_INTERVAL
    assert next_turn(turn, turn + SECOND) == turn + SECOND + WRITE_INTERVAL


def test_milestones_in_a_moment_leave_no_debt() -> None:
    turn = None
    for moment in range(5):
        turn = next_turn(turn, BEGIN + moment * SECOND / 10)
    assert turn == BEGIN + 0.4 * SECOND + WRITE_INTERVAL


def test_a_line_of_long_before_the_turn_gives_a_newer_one_a_moment() -> None:
    assert written([0, 3.9, 5.1])[1] == (BEGIN + 5.1 * SECOND, BEGIN + 5.1 * SECOND)
    assert written([0, 3.9, 9])[1] == (BEGIN + 5.5 * SECOND, BEGIN + 3.9 * SECOND)

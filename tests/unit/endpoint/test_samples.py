from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from puna.endpoint.samples import Baseline, Reading, begin, minus, plus, read_baseline
from puna_router.samples import RevisionSamples, Spread
from tests.factories import NOW

NAMES = ("aaaaaaaa", "bbbbbbbb")
BEFORE = NOW - timedelta(hours=1)
NONE = RevisionSamples()


def counted(requests: int, failed: int = 0) -> RevisionSamples:
    """Samples in which everything grows with the requests; whole numbers add up exactly."""
    spread = Spread(count=requests, logs=2.0 * requests, squares=4.0 * requests)
    return RevisionSamples(
        requests=requests,
        failed=failed,
        duration=spread,
        time_to_first_token=spread,
        generated_tokens=3 * requests,
        generation_milliseconds=5 * requests,
        token_time=spread,
    )


def reading(
    requests: int,
    *,
    router: str = "router-1",
    started: datetime = BEFORE,
    start: str | None = None,
    canary: int = 0,
) -> Reading:
    revisions = {NAMES[0]: counted(requests), NAMES[1]: counted(canary)}
    return Reading(router, started, revisions, start)


def started_with(*readings: Reading) -> Baseline:
    return begin(readings, NAMES, since=NOW, reference=None)


def seen(baseline: Baseline, *readings: Reading) -> int:
    return baseline.window(readings, NAMES[0], NOW).requests


def test_a_window_is_what_routers_counted_since_the_step_began() -> None:
    baseline = started_with(reading(100), reading(50, router="router-2"))
    now = (reading(130, canary=7), reading(51, router="router-2"))
    assert baseline.window(now, NAMES[0], NOW) == counted(31)
    assert baseline.window(now, NAMES[1], NOW) == counted(7)


def test_looks_that_were_missed_change_nothing() -> None:
    baseline = started_with(reading(100))
    for looks in ([110, 120, 130], [130]):
        for requests in looks:
            baseline = baseline.joined([reading(requests)], NAMES, NOW)
        assert seen(baseline, reading(130)) == 30


def test_a_router_that_does_not_answer_is_missing_and_comes_back_with_everything() -> None:
    baseline = started_with(reading(100), reading(50, router="router-2"))
    assert seen(baseline, reading(130)) == 30
    assert seen(baseline, reading(130), reading(60, router="router-2")) == 40
    assert seen(baseline) == 0


def test_an_envoy_that_started_again_has_counted_since_then() -> None:
    baseline = started_with(reading(100))
    again = NOW + timedelta(minutes=1)
    assert seen(baseline, reading(20, started=again)) == 20
    assert seen(baseline, reading(120, started=again)) == 120


def test_a_counter_that_fell_began_anew_whatever_the_start_says() -> None:
    assert seen(started_with(reading(100)), reading(20)) == 20


def test_the_same_start_of_envoy_is_none_again_whatever_the_clock_says() -> None:
    baseline = started_with(reading(100, start="first"))
    for seconds in (-3600, -4, 0, 4, 3600):
        started = BEFORE + timedelta(seconds=seconds)
        assert seen(baseline, reading(130, started=started, start="first")) == 30
        assert seen(baseline, reading(130, started=started, start="second")) == 130


def test_without_names_of_starts_a_clock_that_was_set_back_is_no_start() -> None:
    stored = started_with(reading(100)).to_json()
    assert 'start"' not in stored
    baseline = read_baseline(stored)
    assert baseline is not None
    for start in (None, "first"):
        earlier, later = BEFORE - timedelta(minutes=1), BEFORE + timedelta(minutes=1)
        assert seen(baseline, reading(130, started=earlier, start=start)) == 30
        assert seen(baseline, reading(130, started=later, start=start)) == 130


def test_a_start_is_told_with_some_seconds_to_either_side() -> None:
    baseline = started_with(reading(100))
    for seconds in (-2, 2):
        started = BEFORE + timedelta(seconds=seconds)
        assert seen(baseline, reading(130, started=started)) == 30


def test_a_router_that_came_after_the_step_began_counts_from_its_start() -> None:
    baseline = started_with(reading(100))
    young = reading(9, router="router-3", started=NOW + timedelta(seconds=30))
    assert baseline.joined([young], NAMES, NOW) == baseline
    assert seen(baseline, reading(100), young) == 9


def test_a_router_that_was_not_heard_of_counts_from_the_first_look_at_it() -> None:
    """Else everything before the step would be among it."""
    silent = reading(500, router="router-2")
    baseline = started_with(reading(100))
    assert seen(baseline, reading(100), silent) == 0
    joined = baseline.joined([reading(100), silent], NAMES, NOW)
    assert seen(joined, reading(100), silent) == 0
    assert seen(joined, reading(101), reading(503, router="router-2")) == 4
    assert joined.joined([reading(900), silent], NAMES, NOW) == joined


def test_a_revision_of_which_a_router_tells_nothing_has_had_nothing() -> None:
    bare = Reading("router-1", BEFORE, {NAMES[0]: counted(100)})
    baseline = started_with(bare)
    assert baseline.window([reading(100, canary=5)], NAMES[1], NOW) == counted(5)
    assert baseline.window([bare], NAMES[1], NOW) == NONE


def test_a_revision_that_comes_back_has_had_what_was_counted_since_its_step_began() -> None:
    """Routers tell of it all the time, so what it had before is part of the baseline."""
    baseline = started_with(reading(100, canary=900))
    assert baseline.window([reading(100, canary=905)], NAMES[1], NOW) == counted(5)


COUNTS = st.builds(counted, st.integers(0, 10**6), st.integers(0, 100))
READINGS = st.lists(
    st.builds(
        lambda index, age, first, second, start: Reading(
            f"router-{index}",
            NOW - timedelta(seconds=age),
            {NAMES[0]: first, NAMES[1]: second},
            start,
        ),
        st.integers(0, 4),
        st.integers(-600, 7200),
        COUNTS,
        COUNTS,
        st.sampled_from([None, "first", "second"]),
    ),
    max_size=5,
    unique_by=lambda found: found.router,
).map(tuple)


@given(READINGS, COUNTS | st.none())
def test_a_baseline_is_read_back_as_it_was_stored(
    readings: tuple[Reading, ...], reference: RevisionSamples | None
) -> None:
    baseline = begin(readings, NAMES, since=NOW, reference=reference)
    assert read_baseline(baseline.to_json()) == baseline


def test_a_baseline_that_cannot_be_read_is_none() -> None:
    assert read_baseline(None) is None
    assert read_baseline('{"routers": 3}') is None


@given(READINGS, st.lists(COUNTS, max_size=5))
def test_a_window_is_the_sum_of_what_was_added_in_whatever_steps(
    readings: tuple[Reading, ...], added: list[RevisionSamples]
) -> None:
    baseline = begin(readings, NAMES, since=NOW, reference=None)
    whole = reduce(plus, added, NONE)
    young = [item for item in readings if item.started >= NOW - timedelta(seconds=3)]
    later = tuple(
        replace(item, revisions={name: plus(item.of(name), whole) for name in NAMES})
        for item in readings
    )
    for name in NAMES:
        fresh = reduce(plus, (item.of(name) for item in young), NONE)
        expected = reduce(plus, [whole] * len(readings), fresh)
        assert baseline.window(later, name, NOW) == expected


@given(READINGS, READINGS)
def test_no_window_is_negative(one: tuple[Reading, ...], other: tuple[Reading, ...]) -> None:
    baseline = begin(one, NAMES, since=NOW, reference=None)
    for name in NAMES:
        window = baseline.window(other, name, NOW)
        assert min(window.requests, window.duration.count) >= 0
        assert minus(plus(window, counted(3)), window) == counted(3)

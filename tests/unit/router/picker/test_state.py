from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker.counters import Counters
from puna_router.picker.state import (
    WAIT_BOUNDS,
    EndpointState,
    HostState,
    PickerState,
    WaitState,
)

COUNTS = st.integers(0, 10**9)
NAMES = st.text(max_size=6)
STATES = st.builds(
    EndpointState,
    depth=COUNTS,
    max_depth=COUNTS,
    waiting=st.dictionaries(NAMES, COUNTS, max_size=2),
    hosts=st.dictionaries(
        NAMES,
        st.builds(HostState, slots=COUNTS, in_flight=COUNTS, healthy=st.booleans()),
        max_size=2,
    ),
    picked=COUNTS,
    ended=COUNTS,
    cancelled=COUNTS,
    rejected=st.dictionaries(NAMES, COUNTS, max_size=2),
    waits=st.builds(WaitState, st.lists(COUNTS, max_size=3).map(tuple), st.floats(0, 1e9)),
    prefix_hits=COUNTS,
    prefix_misses=COUNTS,
)


TEXTS = st.none() | st.text(min_size=1)


@given(st.dictionaries(NAMES, STATES, max_size=3), TEXTS, TEXTS)
def test_what_a_picker_says_is_read_as_it_was_meant(
    endpoints: dict[str, EndpointState], problem: str | None, version: str | None
) -> None:
    state = PickerState(endpoints, problem, version)
    assert state == PickerState.from_json(state.to_json())


def test_waits_fall_into_buckets_by_their_upper_bound() -> None:
    counters = Counters()
    for waited in (0.0, 0.001, 0.0011, 60.0, 1000.0):
        counters.pick(waited)
    expected = [0] * (len(WAIT_BOUNDS) + 1)
    expected[0], expected[1], expected[WAIT_BOUNDS.index(60.0)], expected[-1] = 2, 1, 1, 1
    assert (counters.picked, counters.waits().buckets) == (5, tuple(expected))

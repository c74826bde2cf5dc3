from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from puna_node.backoff import LONGEST, restart_delay, restarts_in_a_row, retry_delay


def test_restarts_wait_as_a_kubelet_has_it() -> None:
    delays = [restart_delay(count).total_seconds() for count in range(8)]
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_preparing_is_retried_quickly_at_first() -> None:
    delays = [retry_delay(tries).total_seconds() for tries in range(1, 9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


@given(st.integers(min_value=0, max_value=10**9))
def test_delays_never_fall_and_stay_bounded(count: int) -> None:
    assert restart_delay(count) <= restart_delay(count + 1) <= LONGEST
    assert timedelta(0) < retry_delay(count) <= retry_delay(count + 1) <= timedelta(seconds=5)


@given(st.integers(min_value=0, max_value=100), st.floats(min_value=0, max_value=10**6))
def test_ten_good_minutes_forgive_every_restart(restarts: int, seconds: float) -> None:
    counted = restarts_in_a_row(restarts, timedelta(seconds=seconds))
    assert counted == (0 if timedelta(seconds=seconds) >= timedelta(minutes=10) else restarts)

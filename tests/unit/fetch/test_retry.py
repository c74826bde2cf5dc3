from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_fetch.retry import Failures, RetryPolicy, wait_before_retry

POLICY = RetryPolicy(budget=300)


def test_waits_double_up_to_a_minute_and_end_with_the_budget() -> None:
    now, failures, waits = 0.0, Failures(), []
    while True:
        failures = failures.after(now=now, completed=0, worthwhile=1)
        wait = wait_before_retry(POLICY, failures, now=now, retry_after=None, jitter=1.0)
        if wait is None:
            break
        waits.append(wait)
        now += wait
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_attempt_that_brought_much_starts_a_new_row() -> None:
    failures = Failures().after(now=0, completed=10, worthwhile=5)
    failures = failures.after(now=100, completed=12, worthwhile=5)
    assert (failures.in_a_row, failures.since) == (2, 0)
    failures = failures.after(now=200, completed=15, worthwhile=5)
    assert (failures.in_a_row, failures.since, failures.total) == (1, 200, 3)


def test_a_source_may_ask_for_a_longer_wait_within_the_budget() -> None:
    failures = Failures().after(now=0, completed=0, worthwhile=1)

    def wait(seconds: float) -> float | None:
        return wait_before_retry(POLICY, failures, now=0, retry_after=seconds, jitter=0)

    assert (wait(0), wait(120), wait(301)) == (0.5, 120, None)


@given(st.lists(st.tuples(st.floats(0, 400), st.integers(0, 10**12)), max_size=400))
def test_however_attempts_go_they_end(steps: list[tuple[float, int]]) -> None:
    now, failures, retries = 0.0, Failures(), 0
    for elapsed, completed in steps:
        now += elapsed
        failures = failures.after(now=now, completed=completed, worthwhile=1)
        wait = wait_before_retry(POLICY, failures, now=now, retry_after=None, jitter=0.5)
        if wait is None:
            break
        assert 0.5 <= wait <= POLICY.longest_wait
        retries += 1
    assert retries < POLICY.total_attempts

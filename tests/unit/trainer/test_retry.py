from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_trainer.storage.retry import WORTHWHILE, Failures, Limits, wait_before_retry

LIMITS = Limits(first_wait=1, longest_wait=8, attempts=6, total_attempts=20)


def waits(failures: Failures, limits: Limits = LIMITS) -> float | None:
    return wait_before_retry(limits, failures, retry_after=None, jitter=1.0)


def test_waits_double_up_to_the_longest() -> None:
    failures, found = Failures(), []
    for _ in range(6):
        failures = failures.after(completed=0)
        found.append(waits(failures))
    assert found == [1, 2, 4, 8, 8, None]


def test_an_attempt_that_brought_enough_starts_a_new_row() -> None:
    failures = Failures().after(0).after(0).after(WORTHWHILE)
    assert waits(failures) == 1


def test_bytes_of_several_attempts_add_up() -> None:
    failures = Failures().after(WORTHWHILE // 2).after(WORTHWHILE)
    assert failures.in_a_row == 1


@given(st.lists(st.integers(0, 10**12)))
def test_every_download_ends(sizes: list[int]) -> None:
    failures = Failures()
    for count, size in enumerate([*sizes, *[0] * 20], 1):
        failures = failures.after(size)
        if waits(failures) is None:
            assert count <= LIMITS.total_attempts
            return
    raise AssertionError


def test_what_the_source_asks_for_is_honoured_within_reason() -> None:
    once = Failures().after(0)
    assert wait_before_retry(LIMITS, once, retry_after=20.0, jitter=0.0) == 20
    assert wait_before_retry(LIMITS, once, retry_after=1e9, jitter=0.0) == 80

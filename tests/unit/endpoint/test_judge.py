from __future__ import annotations

from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.api.analysis import Analysis, Result
from puna.endpoint.judge import difference, judge, ratio, wilson
from puna_router.samples import RevisionSamples, Spread

LIMITS = Analysis()
DEVIATION = 0.5


def spread(count: int, milliseconds: float) -> Spread:
    mean = log(milliseconds)
    return Spread(
        count=count, logs=count * mean, squares=count * mean**2 + DEVIATION**2 * max(count - 1, 0)
    )


def served(
    requests: int,
    failed: int = 0,
    *,
    milliseconds: float = 1000.0,
    first_byte: float | None = None,
    per_second: float = 50.0,
) -> RevisionSamples:
    return RevisionSamples(
        requests=requests,
        failed=failed,
        duration=spread(requests - failed, milliseconds),
        time_to_first_token=spread(requests - failed, first_byte or milliseconds / 10),
        generated_tokens=100 * requests,
        generation_milliseconds=round(100_000 * requests / per_second),
        token_time=spread(requests - failed, 1000 / per_second),
    )


def results(canary: RevisionSamples, stable: RevisionSamples, **limits: Any) -> dict[str, Result]:
    found = judge(canary, stable, Analysis(**limits))
    return {metric.name: metric.result for metric in found}


def message(name: str, canary: RevisionSamples, stable: RevisionSamples, **limits: Any) -> str:
    found = judge(canary, stable, Analysis(**limits))
    return next(metric.message for metric in found if metric.name == name)


def test_what_is_as_good_as_before_passes_once_there_is_enough() -> None:
    passing = dict.fromkeys(("Errors", "Latency", "TTFT"), Result.PASS)
    assert results(served(400), served(3600)) == passing


@pytest.mark.parametrize(("canary", "stable"), [(49, 900), (900, 49), (0, 0), (49, 49)])
def test_too_few_requests_say_nothing_even_if_all_fail(canary: int, stable: int) -> None:
    found = results(served(canary, canary), served(stable, 0))
    assert set(found.values()) == {Result.INCONCLUSIVE}


def test_few_requests_without_failures_are_not_enough_for_a_narrow_limit() -> None:
    assert results(served(260), served(9000))["Errors"] is Result.INCONCLUSIVE
    assert results(served(280), served(9000))["Errors"] is Result.PASS
    assert results(served(55), served(900), max_error_percent=5)["Errors"] is Result.PASS


def test_failures_beyond_doubt_fail_and_others_are_waited_for() -> None:
    assert results(served(100, 10), served(900, 5))["Errors"] is Result.FAIL
    assert results(served(100, 2), served(900, 5))["Errors"] is Result.INCONCLUSIVE
    assert results(served(50, 50), served(900))["Errors"] is Result.FAIL


def test_failures_that_the_stable_revision_has_too_are_no_fault_of_the_canary() -> None:
    assert results(served(9000, 1800), served(9000, 1800))["Errors"] is Result.PASS
    assert results(served(100, 100), served(900, 900))["Errors"] is Result.PASS


def test_slow_answers_fail_beyond_doubt_alone() -> None:
    slow = served(60, milliseconds=1500)
    assert results(slow, served(3600))["Latency"] is Result.INCONCLUSIVE
    assert results(served(900, milliseconds=1500), served(3600))["Latency"] is Result.FAIL
    assert results(served(400, milliseconds=1100), served(3600))["Latency"] is Result.PASS
    assert results(slow, served(3600), max_latency_percent=200)["Latency"] is Result.PASS


def test_a_first_byte_that_comes_late_fails_by_itself() -> None:
    late = results(served(400, first_byte=200), served(3600))
    assert late == {"Errors": Result.PASS, "Latency": Result.PASS, "TTFT": Result.FAIL}
    assert results(served(400, first_byte=110), served(3600))["TTFT"] is Result.PASS
    allowed = results(served(400, first_byte=200), served(3600), max_ttft_percent=250)
    assert allowed["TTFT"] is Result.PASS


def test_tokens_per_second_are_judged_if_that_is_asked_for() -> None:
    slow, usual = served(400, per_second=20), served(3600)
    assert "TokensPerSecond" not in results(slow, usual)
    asked = {"min_tokens_per_second_percent": 80}
    assert results(slow, usual, **asked)["TokensPerSecond"] is Result.FAIL
    assert results(served(400), usual, **asked)["TokensPerSecond"] is Result.PASS
    silent = served(400).model_copy(update={"generated_tokens": 0, "generation_milliseconds": 0})
    assert results(silent, usual, **asked)["TokensPerSecond"] is Result.INCONCLUSIVE


def test_a_failure_may_be_counted_before_its_request() -> None:
    one_off = served(50, 50).model_copy(update={"failed": 51})
    assert results(one_off, served(500))["Errors"] is Result.FAIL


def test_a_verdict_shows_its_arithmetic() -> None:
    assert message("Errors", served(100, 10), served(900, 5)) == (
        "canary 10 of 100 failed (10.0%), stable 5 of 900 failed (0.6%): +9.4 points, "
        "at least 3.4 points; maxErrorPercent allows 1"
    )
    assert message("Latency", served(900, milliseconds=1500), served(3600)) == (
        "canary 1.50 s, stable 1.00 s: 150%, at least 141.8%; maxLatencyPercent allows 130"
    )
    assert message("TTFT", served(400), served(3600)) == (
        "canary 100 ms, stable 100 ms: 100%, at most 104.4%; maxTTFTPercent allows 130"
    )
    asked = {"min_tokens_per_second_percent": 80}
    assert message("TokensPerSecond", served(400, per_second=25), served(3600), **asked) == (
        "canary 25.0/s, stable 50.0/s: 50%, between 48% and 54%; minTokensPerSecondPercent wants 80"
    )
    assert message("Errors", served(7), served(900)) == (
        "the canary has had 7 requests; minRequests wants 50"
    )


def test_a_verdict_says_what_there_is_too_little_of() -> None:
    silent = served(400).model_copy(update={"token_time": Spread()})
    asked = {"min_tokens_per_second_percent": 80}
    assert message("TokensPerSecond", silent, served(900), **asked) == (
        "the canary has had 0 answers with token times; minRequests wants 50"
    )
    assert message("Latency", served(400), served(60, 20)) == (
        "the stable revision has had 40 answers below 400; minRequests wants 50"
    )


@pytest.mark.parametrize(
    ("failed", "requests", "low", "high"),
    # Wilson's interval at 95 %, from the literature's usual examples.
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1)],
)
def test_wilsons_interval_is_the_known_one(
    failed: int, requests: int, low: float, high: float
) -> None:
    assert wilson(failed, requests, 1.959964) == pytest.approx((low, high), abs=1e-4)


SHARES = st.integers(1, 10**6).flatmap(
    lambda requests: st.tuples(st.integers(0, requests), st.just(requests))
)
SPREADS = st.builds(
    lambda count, mean, deviation: Spread(
        count=count, logs=count * mean, squares=count * (mean**2 + deviation**2)
    ),
    st.integers(2, 10**6),
    st.floats(-0.7, 15),
    st.floats(0, 3),
)


@given(SHARES, SHARES)
def test_bounds_of_a_difference_lie_around_it(
    canary: tuple[int, int], stable: tuple[int, int]
) -> None:
    found = difference(canary, stable)
    assert found.at_least <= found.estimate <= found.at_most
    assert -1 <= found.estimate <= 1


@given(SPREADS, SPREADS)
def test_bounds_of_a_ratio_lie_around_it(canary: Spread, stable: Spread) -> None:
    found = ratio(canary, stable)
    assert 0 < found.at_least <= found.estimate <= found.at_most


COUNTS = st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)).map(
    lambda pair: served(max(pair), min(pair))
)


@given(COUNTS, COUNTS, st.integers(10, 1000))
def test_nothing_passes_or_fails_without_enough_requests(
    canary: RevisionSamples, stable: RevisionSamples, needed: int
) -> None:
    found = results(canary, stable, min_requests=needed)
    if min(canary.requests, stable.requests) < needed:
        assert set(found.values()) == {Result.INCONCLUSIVE}
    assert Result.ERROR not in found.values()


@given(COUNTS, st.integers(50, 10**5))
def test_more_failures_never_make_a_canary_better(stable: RevisionSamples, requests: int) -> None:
    order = [Result.PASS, Result.INCONCLUSIVE, Result.FAIL]
    before = 0
    if stable.requests < LIMITS.min_requests:
        return
    for failed in range(0, requests + 1, max(1, requests // 20)):
        now = order.index(results(served(requests, failed), stable)["Errors"])
        assert now >= before
        before = now

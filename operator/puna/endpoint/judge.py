"""Judge: whether a canary is worse than the stable revision by more than is allowed.

A metric fails if its limit is exceeded beyond doubt, and passes if it is kept with confidence: one
side of a confidence interval each. What lies between is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

from puna.api.analysis import Analysis, MetricVerdict, Result
from puna_router.samples import RevisionSamples, Spread

BEYOND_DOUBT: Final = 3.0
"""Standard errors by which a limit has to be exceeded: it is looked at again and again."""
WITH_CONFIDENCE: Final = 1.645
"""Standard errors by which it has to be kept: 95 %."""
RESOLUTION: Final = log(1.1) ** 2 / 12
"""Variance of a logarithm that comes from bins of two significant digits."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate of how much worse a canary is, with two bounds."""

    estimate: float
    at_least: float
    """Beyond doubt."""
    at_most: float
    """With confidence."""

    def result(self, limit: float) -> Result:
        """Return what follows from a limit."""
        if self.at_least > limit:
            return Result.FAIL
        return Result.PASS if self.at_most <= limit else Result.INCONCLUSIVE


def judge(
    canary: RevisionSamples, stable: RevisionSamples, limits: Analysis
) -> tuple[MetricVerdict, ...]:
    """Return what comes of each metric, from what happened to both at the same time."""
    return tuple(_metrics(canary, stable, limits))


def _metrics(
    canary: RevisionSamples, stable: RevisionSamples, limits: Analysis
) -> Iterator[MetricVerdict]:
    yield _errors(canary, stable, limits)
    durations = canary.duration, stable.duration
    yield _times("Latency", durations, limits.max_latency_percent, limits.min_requests)
    firsts = canary.time_to_first_token, stable.time_to_first_token
    yield _times("TTFT", firsts, limits.max_ttft_percent, limits.min_requests)
    if limits.min_tokens_per_second_percent is not None:
        yield _tokens(canary, stable, limits.min_tokens_per_second_percent, limits.min_requests)


def _errors(canary: RevisionSamples, stable: RevisionSamples, limits: Analysis) -> MetricVerdict:
    """Compare the shares of failed requests."""
    name = "Errors"
    missing = _missing(canary.requests, stable.requests, limits.min_requests)
    if missing is not None:
        return missing.named(name)
    found = difference((canary.failed, canary.requests), (stable.failed, stable.requests))
    limit = limits.max_error_percent
    message = (
        f"canary {_share(canary)}, stable {_share(stable)}: {100 * found.estimate:+.1f} points, "
        f"{_bound(found, limit)} points; maxErrorPercent allows {limit}"
    )
    return MetricVerdict(name=name, result=found.result(limit / 100), message=message)


def _times(name: str, pair: tuple[Spread, Spread], limit: int, needed: int) -> MetricVerdict:
    """Compare two times by their geometric means: few long answers do not outweigh the rest."""
    canary, stable = pair
    missing = _missing(canary.count, stable.count, needed, what="answers below 400")
    if missing is not None:
        return missing.named(name)
    found = ratio(canary, stable)
    message = (
        f"canary {_mean(canary)}, stable {_mean(stable)}: {100 * found.estimate:.0f}%, "
        f"{_bound(found, limit)}%; max{name}Percent allows {limit}"
    )
    return MetricVerdict(name=name, result=found.result(limit / 100), message=message)


def _tokens(
    canary: RevisionSamples, stable: RevisionSamples, least: int, needed: int
) -> MetricVerdict:
    """Compare generated tokens per second: totals for the estimate, single answers for its error.

    Router and server count times between tokens in whole milliseconds, which are too coarse for
    fast models; totals are not.
    """
    name = "TokensPerSecond"
    counts = canary.token_time.count, stable.token_time.count
    missing = _missing(*counts, needed, what="answers with token times")
    if missing is not None:
        return missing.named(name)
    pace, usual = _pace(canary), _pace(stable)
    if pace is None or usual is None:
        return _Missing("no time of generation was reported").named(name)
    error = _error(canary.token_time, stable.token_time)
    slower = Interval(
        estimate=usual / pace,
        at_least=usual / pace * exp(-BEYOND_DOUBT * error),
        at_most=usual / pace * exp(WITH_CONFIDENCE * error),
    )
    message = (
        f"canary {pace:.1f}/s, stable {usual:.1f}/s: {100 * pace / usual:.0f}%, between "
        f"{100 / slower.at_most:.0f}% and {100 / slower.at_least:.0f}%; "
        f"minTokensPerSecondPercent wants {least}"
    )
    return MetricVerdict(name=name, result=slower.result(100 / least), message=message)


def difference(canary: tuple[int, int], stable: tuple[int, int]) -> Interval:
    """Return how much larger the first of two shares is; each is (failed, of).

    Newcombe's interval, from Wilson's of each share: right for few and for no failures too.
    """
    (failed, requests), (usual, others) = canary, stable
    # Counters are not read at one instant: a failure may be there before its request.
    failed, usual = min(failed, requests), min(usual, others)
    share, other = failed / requests, usual / others
    low, _ = wilson(failed, requests, BEYOND_DOUBT)
    _, other_high = wilson(usual, others, BEYOND_DOUBT)
    _, high = wilson(failed, requests, WITH_CONFIDENCE)
    other_low, _ = wilson(usual, others, WITH_CONFIDENCE)
    estimate = share - other
    return Interval(
        estimate=estimate,
        at_least=estimate - sqrt((share - low) ** 2 + (other_high - other) ** 2),
        at_most=estimate + sqrt((high - share) ** 2 + (other - other_low) ** 2),
    )


def wilson(failed: int, requests: int, errors: float) -> tuple[float, float]:
    """Return Wilson's interval of a share, `errors` standard errors to both sides."""
    share, square = failed / requests, errors * errors
    middle = (share + square / (2 * requests)) / (1 + square / requests)
    spread = share * (1 - share) / requests + square / (4 * requests * requests)
    width = errors * sqrt(spread) / (1 + square / requests)
    return max(0.0, middle - width), min(1.0, middle + width)


def ratio(canary: Spread, stable: Spread) -> Interval:
    """Return how many times as large the first of two geometric means is."""
    estimate = canary.logs / canary.count - stable.logs / stable.count
    error = _error(canary, stable)
    return Interval(
        estimate=exp(estimate),
        at_least=exp(estimate - BEYOND_DOUBT * error),
        at_most=exp(estimate + WITH_CONFIDENCE * error),
    )


def _error(canary: Spread, stable: Spread) -> float:
    """Return the standard error of a difference of mean logarithms."""
    return sqrt(sum(_variance(spread) / spread.count for spread in (canary, stable)))


def _variance(spread: Spread) -> float:
    mean = spread.logs / spread.count
    between = spread.squares / spread.count - mean * mean
    return max(between, 0.0) * spread.count / max(spread.count - 1, 1) + RESOLUTION


@dataclass(frozen=True, slots=True)
class _Missing:
    """Why a metric cannot be told yet."""

    message: str

    def named(self, name: str) -> MetricVerdict:
        return MetricVerdict(name=name, result=Result.INCONCLUSIVE, message=self.message)


def _missing(canary: int, stable: int, needed: int, *, what: str = "requests") -> _Missing | None:
    for whose, count in (("canary", canary), ("stable revision", stable)):
        if count < needed:
            return _Missing(f"the {whose} has had {count} {what}; minRequests wants {needed}")
    return None


def _bound(found: Interval, limit: int) -> str:
    """Return the bound that the result follows from, in percent as the limit is."""
    if 100 * found.at_least > limit:
        return f"at least {100 * found.at_least:.1f}"
    return f"at most {100 * found.at_most:.1f}"


def _share(samples: RevisionSamples) -> str:
    percent = 100 * samples.failed / samples.requests
    return f"{samples.failed} of {samples.requests} failed ({percent:.1f}%)"


def _mean(spread: Spread) -> str:
    milliseconds = exp(spread.logs / spread.count)
    second = 999.5
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= second else f"{milliseconds:.0f} ms"


def _pace(samples: RevisionSamples) -> float | None:
    if samples.generation_milliseconds <= 0 or samples.generated_tokens <= 0:
        return None
    return 1000 * samples.generated_tokens / samples.generation_milliseconds

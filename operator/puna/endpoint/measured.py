"""What was measured of a canary at its present step, and the baseline that this starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from puna.api.analysis import CanaryVerdict, MetricVerdict, Result
from puna.api.rollout import Canary
from puna.endpoint.canary import Position, weight_of
from puna.endpoint.judge import judge
from puna.endpoint.revision import StoredRevision
from puna.endpoint.samples import Baseline, Reading, begin
from puna.endpoint.verdict import NO_DATA, worst
from puna_router.samples import RevisionSamples

ALL: Final = 100
"""Percent."""


def verdict_on(
    candidate: StoredRevision,
    stable: str,
    canary: Canary,
    readings: Iterable[Reading],
    *,
    unread: str | None = None,
    crashes: MetricVerdict | None = None,
) -> CanaryVerdict | None:
    """Return what is said of a canary by the requests that it has had at its step.

    None where nothing is asked of them, and while it gets none. `unread` says why there are no
    readings, `crashes` what its servers did.
    """
    position, analysis = candidate.position, canary.analysis
    if analysis is None or position.since is None or not weight_of(position, canary.steps):
        return None
    metrics = [] if crashes is None else [crashes]
    if analysis.min_requests:
        told = tuple(readings)
        heard = tuple(reading for reading in told if not reading.is_before(position.since))
        windows = _windows(candidate, stable, canary, heard, position.since)
        if not told:
            metrics.append(_no_data(Result.ERROR, unread or "no router has told what it counted"))
        elif not heard:
            missing = "no router has been scraped since the step began"
            metrics.append(_no_data(Result.INCONCLUSIVE, missing))
        elif isinstance(windows, str):
            metrics.append(_no_data(Result.ERROR, windows))
        else:
            metrics += judge(*windows, analysis)
    return worst(metrics)


def _windows(
    candidate: StoredRevision,
    stable: str,
    canary: Canary,
    readings: tuple[Reading, ...],
    since: datetime,
) -> tuple[RevisionSamples, RevisionSamples] | str:
    """Return what happened to canary and stable revision at this step, else why it is not known."""
    position, baseline = candidate.position, candidate.baseline or Baseline()
    if weight_of(position, canary.steps) == ALL and baseline.reference is None:
        return (
            "there is nothing to compare with: at 100% the stable revision gets no requests, "
            "and what it had before is not known; promote or abort the canary"
        )
    of_canary = baseline.window(readings, candidate.name, since)
    return of_canary, _of_stable(baseline, readings, stable, position, canary)


def with_baseline(
    moved: StoredRevision,
    before: StoredRevision,
    stable: str,
    canary: Canary,
    readings: tuple[Reading, ...],
) -> StoredRevision:
    """Return a canary with the baseline of its step; `before` is the canary before this look."""
    position, names = moved.position, (stable, moved.name)
    asked = canary.analysis is not None and canary.analysis.min_requests > 0
    if not asked or position.since is None or position.step is None:
        return replace(moved, baseline=None)
    if position == before.position:
        baseline = before.baseline or Baseline()
        return replace(moved, baseline=baseline.joined(readings, names, position.since))
    reference = None
    if before.position.step is not None:
        past = before.baseline or Baseline()
        reference = _of_stable(past, readings, stable, before.position, canary)
    baseline = begin(readings, names, since=position.since, reference=reference)
    return replace(moved, baseline=baseline)


def _of_stable(
    baseline: Baseline,
    readings: Iterable[Reading],
    stable: str,
    position: Position,
    canary: Canary,
) -> RevisionSamples:
    """Return what a canary is compared with: the stable revision meanwhile.

    One that gets no requests any more is compared as it was in the step before.
    """
    if position.since is None:
        return RevisionSamples()
    if weight_of(position, canary.steps) == ALL and baseline.reference is not None:
        return baseline.reference
    return baseline.window(readings, stable, position.since)


def _no_data(result: Result, message: str) -> MetricVerdict:
    return MetricVerdict(name=NO_DATA, result=result, message=message)

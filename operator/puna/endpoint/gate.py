"""Gate: what has to pass before a new revision gets its first request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from puna.api.analysis import Analysis, CanaryVerdict, MetricVerdict, Result
from puna.endpoint import evaluation
from puna.endpoint.golden import golden_verdict, is_to_be_asked, remembered
from puna.endpoint.golden_record import GoldenRecord
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.revision import StoredRevision
from puna.endpoint.verdict import worst


def gate_verdict(
    analysis: Analysis | None,
    wanted: StoredRevision,
    observed: ObservedEndpoint,
    *,
    stable: StoredRevision | None,
) -> CanaryVerdict | None:
    """Return what the gate says of the wanted revision; None: there is none."""
    return None if analysis is None else worst(_metrics(analysis, wanted, observed, stable))


def remembering(
    analysis: Analysis | None, wanted: StoredRevision, observed: ObservedEndpoint, now: datetime
) -> StoredRevision:
    """Return the wanted revision with what has come of the gate so far: nothing is asked twice."""
    if analysis is None or not analysis.golden_prompts or not is_to_be_asked(wanted):
        return wanted
    return replace(wanted, golden=remembered(analysis, wanted, observed.golden, now))


def is_gate_overdue(
    analysis: Analysis, verdict: CanaryVerdict, golden: GoldenRecord | None, now: datetime
) -> bool:
    """Return whether a gate that has not passed waits for people.

    A score that cannot be compared stays so; prompts may be asked for `deadline_seconds`.
    """
    errors = (item.name for item in verdict.metrics if item.result is Result.ERROR)
    if evaluation.NAME in errors:
        return True
    return golden is not None and now >= golden.since + timedelta(seconds=analysis.deadline_seconds)


def _metrics(
    analysis: Analysis,
    wanted: StoredRevision,
    observed: ObservedEndpoint,
    stable: StoredRevision | None,
) -> Iterator[MetricVerdict]:
    if analysis.evaluation is not None:
        before = None if stable is None else stable.data.lineage
        yield evaluation.evaluation_verdict(analysis.evaluation, wanted.data.lineage, before)
    if analysis.golden_prompts:
        # What is meant anew is asked anew, whatever it answered the time before.
        asked = wanted if is_to_be_asked(wanted) else replace(wanted, golden=None)
        yield golden_verdict(analysis, asked, observed.golden)

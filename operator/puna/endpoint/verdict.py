"""Verdict: what several measurements say of a canary together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from puna.api.analysis import CanaryVerdict, MetricVerdict, Result

_ORDER: Final = tuple(Result)
"""From the worst on."""


RETOLD: Final = timedelta(seconds=30)
"""Age at which arithmetic is told anew though it says the same: a status is no chart."""
NO_DATA: Final = "NoData"
"""Metric of what nobody has told: it is never taken for zero."""
PATIENCE: Final = timedelta(seconds=60)
"""Age up to which it is told although nothing could be measured since."""


def renewed(
    told: CanaryVerdict | None,
    found: CanaryVerdict,
    now: datetime,
    *,
    sparing: bool,
    since: datetime | None = None,
) -> CanaryVerdict | None:
    """Return the verdict to tell: what was told last as long as it says the same and is fresh.

    Numbers of requests change with every look: these are told sparingly. A look at which no router
    answered in time is no news yet; where nothing has been told of a step that began at `since`,
    nothing is.
    """
    age = None if told is None or told.measured_at is None else now - told.measured_at
    if told is not None and age is not None:
        if not sparing and told.model_copy(update={"measured_at": None}) == found:
            return told
        if sparing and age < RETOLD and _results(told) == _results(found):
            return told
        if sparing and age < PATIENCE and _says_nothing(found):
            return told
    if told is None and since is not None and now - since < PATIENCE and _says_nothing(found):
        return None
    return found.model_copy(update={"measured_at": now.replace(microsecond=0)})


def _says_nothing(verdict: CanaryVerdict) -> bool:
    return all(item.name == NO_DATA for item in verdict.metrics)


def _results(verdict: CanaryVerdict) -> list[tuple[str, Result]]:
    return [("", verdict.result), *((item.name, item.result) for item in verdict.metrics)]


def worst(metrics: Iterable[MetricVerdict]) -> CanaryVerdict | None:
    """Return the verdict of metrics, the first one of the worst deciding; None without any."""
    found = tuple(metrics)
    if not found:
        return None
    decisive = min(found, key=lambda metric: _ORDER.index(metric.result))
    message = f"{decisive.name}: {decisive.message}"
    return CanaryVerdict(result=decisive.result, message=message, metrics=found)

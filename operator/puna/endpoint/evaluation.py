"""Evaluation: whether a trained model's own score lets it get its first request. Pure.

The scores are those that the TrainingJobs told when they ended; they are stored with the revisions,
so the verdict is the same at any time, whatever has become of the runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from puna.api.analysis import MetricVerdict, Result
from puna.api.evaluation import LESS_IS_BETTER, EvaluationLimits, EvaluationMetric
from puna.api.lineage import ModelLineage

NAME: Final = "Evaluation"


def evaluation_verdict(
    limits: EvaluationLimits, wanted: ModelLineage | None, stable: ModelLineage | None
) -> MetricVerdict:
    """Return what the score of a model says, beside its limits and the stable model's score."""
    metric = limits.metric
    score = _score(wanted, metric)
    if score is None or wanted is None:
        return _verdict(Result.ERROR, _missing("the new revision", wanted, metric))
    if limits.max_regression_percent is not None:
        obstacle = _incomparable(metric, wanted, stable)
        if obstacle is not None:
            return _verdict(Result.ERROR, obstacle)
    told, result = [], Result.PASS
    for limit, meaning in _limits(limits, stable):
        holds = score <= limit if metric in LESS_IS_BETTER else score >= limit
        result = result if holds else Result.FAIL
        told.append(f"{_relation(metric, holds=holds)} {meaning}")
    return _verdict(
        result, f"{metric} {score:g} of TrainingJob {wanted.job} is {' and '.join(told)}"
    )


def _limits(limits: EvaluationLimits, stable: ModelLineage | None) -> Iterator[tuple[float, str]]:
    """Yield each limit and what it comes from."""
    for limit in (limits.at_most, limits.at_least):
        if limit is not None:
            yield limit, f"{limit:g}"
    before, percent = _score(stable, limits.metric), limits.max_regression_percent
    if stable is not None and before is not None and percent is not None:
        worse = percent if limits.metric in LESS_IS_BETTER else -percent
        limit = before * (1 + worse / 100)
        yield limit, f"{limit:.4g} ({before:g} of TrainingJob {stable.job} {worse:+d}%)"


def _relation(metric: EvaluationMetric, *, holds: bool) -> str:
    if metric in LESS_IS_BETTER:
        return "at most" if holds else "above"
    return "at least" if holds else "below"


def _incomparable(
    metric: EvaluationMetric, wanted: ModelLineage, stable: ModelLineage | None
) -> str | None:
    """Return why the scores of two models cannot be compared, if that is so."""
    if stable is None or _score(stable, metric) is None:
        return (
            f"{_missing('the stable revision', stable, metric)}, so maxRegressionPercent has "
            "nothing to compare with"
        )
    if metric is EvaluationMetric.PERPLEXITY and wanted.tokenizer_hash != stable.tokenizer_hash:
        return (
            f"TrainingJobs {wanted.job} and {stable.job} have different tokenizers, whose "
            "perplexities say nothing of each other; bits_per_byte can be compared"
        )
    return None


def _missing(whose: str, lineage: ModelLineage | None, metric: EvaluationMetric) -> str:
    if lineage is None:
        return f"{whose} comes from no TrainingJob that is known"
    scores = ", ".join(sorted(lineage.scores)) or "none"
    return f"TrainingJob {lineage.job} of {whose} measured no {metric} (it has: {scores})"


def _score(lineage: ModelLineage | None, metric: EvaluationMetric) -> float | None:
    return None if lineage is None else lineage.scores.get(metric)


def _verdict(result: Result, message: str) -> MetricVerdict:
    return MetricVerdict(name=NAME, result=result, message=message)

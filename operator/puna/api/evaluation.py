"""What is asked of a trained model's own scores before it gets its first request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from puna.api.resource import Model, Rule


class EvaluationMetric(StrEnum):
    """Scores that a TrainingJob's evaluation measures of a language model."""

    PERPLEXITY = "perplexity"
    """exp of the loss of a token: the less the better, comparable with the same tokenizer alone."""
    BITS_PER_BYTE = "bits_per_byte"
    """Loss of the text's bytes: the less the better, comparable across tokenizers."""
    QUESTIONS_RIGHT = "questions_right"
    """Share of `spec.evaluation.questions` that were answered right, 0 to 1."""
    COMPLETIONS_PARSED = "completions_parsed"
    """Share of completed functions that are Python, 0 to 1."""


LESS_IS_BETTER: Final = frozenset({EvaluationMetric.PERPLEXITY, EvaluationMetric.BITS_PER_BYTE})


class EvaluationLimits(Model):
    """Limits of one score of the TrainingJob that made the model."""

    metric: EvaluationMetric
    """Which score, by its name in the TrainingJob's `status.metrics`."""
    at_most: Annotated[float, Field(gt=0, le=1_000_000_000)] | None = None
    """Highest score that is good enough, of perplexity and bits_per_byte."""
    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    """Lowest score that is good enough, of questions_right and completions_parsed."""
    max_regression_percent: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Percent by which the score may be worse than that of the stable revision's model."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.atMost) || has(self.atLeast) || has(self.maxRegressionPercent)",
            "set a limit: atMost, atLeast or maxRegressionPercent",
            ".metric",
            "FieldValueRequired",
        ),
        Rule(
            "!has(self.atMost) || self.metric in ['perplexity', 'bits_per_byte']",
            "of this metric more is better; set atLeast",
            ".atMost",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.atLeast) || !(self.metric in ['perplexity', 'bits_per_byte'])",
            "of this metric less is better; set atMost",
            ".atLeast",
            "FieldValueForbidden",
        ),
    )

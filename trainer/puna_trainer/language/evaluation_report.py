"""Report of an evaluation, `evaluation.json`: each measure beside what chance reaches."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from puna_trainer.config.document import Document
from puna_trainer.progress import CheckpointNote


class Measured(Document):
    """How well text is predicted."""

    perplexity: float
    """exp of the mean loss of a token; comparable only with the same tokenizer and text."""
    bits_per_byte: float
    """Loss of all tokens in bits, over the bytes of their text; comparable across tokenizers."""


class Answer(Document):
    """What became of one question."""

    prompt: str
    """Text to go on with."""
    expected: str
    """Text that has to come."""
    written: str
    """Text that came."""
    is_right: bool
    """Whether the one is in the other."""
    bigram_is_right: bool
    """The same of what a bigram writes."""


class Completions(Document):
    """Functions of held-out modules whose bodies the model wrote."""

    count: int
    """Functions."""
    parsed: int
    """How many are Python."""
    bigram_parsed: int
    """How many are Python where a bigram wrote the bodies."""


class Verdict(StrEnum):
    """What a comparison with a baseline says."""

    HELD = "Held"
    """The perplexity is within what is allowed."""
    REGRESSED = "Regressed"
    """The perplexity is worse than what is allowed."""


class Comparison(Document):
    """The perplexity beside a baseline's."""

    baseline_perplexity: float
    """Of the older model."""
    highest_allowed: float
    """Perplexity from which on it counts as a regression."""
    verdict: Verdict
    """Whether it is one."""


class EvaluationReport(Document):
    """Everything that was measured of a model, on text that nothing was chosen by."""

    checkpoint: CheckpointNote | None = None
    """What was measured; absent if it is the model that the run names."""
    documents: int
    """Held-out documents."""
    tokens: int
    """Their tokens."""
    text_bytes: int
    """Bytes of their text."""
    model: Measured
    """Of the model."""
    bigram: Measured
    """Of a smoothed bigram of the training tokens."""
    chance: Measured
    """Of equal odds for each token."""
    answers: tuple[Answer, ...] = ()
    """Questions, in order."""
    completions: Completions | None = None
    """Absent where the text is no Python."""
    comparison: Comparison | None = None
    """Absent without a baseline."""

    def document(self) -> dict[str, Any]:
        """Return the report as a document of JSON, with the figures of `metrics`."""
        return {
            **self.model_dump(mode="json", by_alias=True, exclude_none=True),
            "metrics": self.metrics(),
        }

    def metrics(self) -> dict[str, float]:
        """Return the figures that the result of a run holds."""
        figures = {
            "perplexity": self.model.perplexity,
            "bits_per_byte": self.model.bits_per_byte,
            "bigram_perplexity": self.bigram.perplexity,
            "bigram_bits_per_byte": self.bigram.bits_per_byte,
            "chance_perplexity": self.chance.perplexity,
            "chance_bits_per_byte": self.chance.bits_per_byte,
        }
        if self.answers:
            count = len(self.answers)
            figures["questions_right"] = sum(each.is_right for each in self.answers) / count
            figures["bigram_questions_right"] = (
                sum(each.bigram_is_right for each in self.answers) / count
            )
        if self.completions:
            count = self.completions.count
            figures["completions_parsed"] = self.completions.parsed / count
            figures["bigram_completions_parsed"] = self.completions.bigram_parsed / count
        return figures


def compared(perplexity: float, baseline: float, max_regression_percent: int) -> Comparison:
    """Return the comparison of a perplexity with a baseline's. Pure."""
    highest = baseline * (1 + max_regression_percent / 100)
    verdict = Verdict.HELD if perplexity <= highest else Verdict.REGRESSED
    return Comparison(baseline_perplexity=baseline, highest_allowed=highest, verdict=verdict)

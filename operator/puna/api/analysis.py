"""Analysis of a canary: what is asked of it before it gets more, and what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.evaluation import EvaluationLimits
from puna.api.golden import GoldenPrompt, Judge
from puna.api.resource import Model, Rule


class Analysis(Model):
    """What is asked of a canary before it gets more requests, and before it takes over.

    It is compared with the stable revision, by requests of the same time.
    """

    min_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Requests of a step, to the new revision and to the stable one, before anything is said.

    0: requests are not judged; else at least 10.
    """
    max_error_percent: Annotated[int, Field(ge=1, le=100)] = 1
    """How many more of a hundred requests may fail than of the stable revision's.

    A limit of 1 takes at least 270 requests without any failure to be sure of, one of 5 takes 55.
    """
    max_latency_percent: Annotated[int, Field(gt=100, le=10_000)] = 130
    """How long whole answers may take, in percent of the stable revision's."""
    max_ttft_percent: Annotated[int, Field(gt=100, le=10_000, alias="maxTTFTPercent")] = 130
    """How long the first token may take, in percent of the stable revision's."""
    min_tokens_per_second_percent: Annotated[int, Field(ge=1, lt=100)] | None = None
    """How fast answers have to be generated, in percent of the stable revision's tokens per second.

    Absent: it is not judged.
    """
    deadline_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 3600
    """Time after a step's hold in which it has to pass.

    Then the canary is paused: its weight stays until it passes after all, or somebody promotes or
    aborts it.
    """
    evaluation: EvaluationLimits | None = None
    """What the TrainingJob that made the model has to have measured, before the first request."""
    golden_prompts: Annotated[
        tuple[GoldenPrompt, ...], Field(max_length=32, json_schema_extra={"listMapKeys": ["name"]})
    ] = ()
    """What the new revision is asked before its first request; only right answers let it go on."""
    max_failed_prompts: Annotated[int, Field(ge=0, le=31)] = 0
    """How many of these may be answered wrong."""
    judge: Judge | None = None
    """Who scores the answers to those that have a rubric."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minRequests) || self.minRequests == 0 || self.minRequests >= 10",
            "0 (requests are not judged) or at least 10: fewer say nothing",
            ".minRequests",
        ),
        Rule(
            "has(self.judge) || !has(self.goldenPrompts) || "
            "!self.goldenPrompts.exists(prompt, has(prompt.rubric))",
            "required for golden prompts with a rubric",
            ".judge",
            "FieldValueRequired",
        ),
        Rule(
            "!has(self.judge) || has(self.goldenPrompts) && "
            "self.goldenPrompts.exists(prompt, has(prompt.rubric))",
            "no golden prompt has a rubric to judge by",
            ".judge",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.maxFailedPrompts) || self.maxFailedPrompts == 0 || "
            "has(self.goldenPrompts) && self.maxFailedPrompts < self.goldenPrompts.size()",
            "there are no more golden prompts than that",
            ".maxFailedPrompts",
        ),
    )


class Result(StrEnum):
    """What came of a measurement; of several the worst counts, in this order."""

    FAIL = "Fail"
    """A limit is exceeded beyond doubt."""
    ERROR = "Error"
    """It could not be measured."""
    INCONCLUSIVE = "Inconclusive"
    """There is not enough to tell yet."""
    PASS = "Pass"  # noqa: S105
    """It is within its limit."""


class MetricVerdict(Model):
    """What came of one metric."""

    name: str
    """Name of the metric."""
    result: Result
    """Pass, Fail, Inconclusive or Error."""
    message: str
    """The arithmetic, or what is missing."""


class CanaryVerdict(Model):
    """What is said of a canary by what was measured of it."""

    result: Result
    """The worst of the metrics: Fail, Error, Inconclusive, Pass."""
    message: str
    """The arithmetic of the metric that decides."""
    measured_at: datetime | None = None
    """When the arithmetic was done; it is told anew every half minute and whenever a result is
    another one."""
    metrics: Annotated[
        tuple[MetricVerdict, ...],
        Field(max_length=32, json_schema_extra={"listMapKeys": ["name"]}),
    ] = ()
    """Every metric."""

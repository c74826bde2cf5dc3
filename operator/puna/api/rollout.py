"""Rollout of an LLMEndpoint: how a changed revision takes over."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.analysis import Analysis
from puna.api.resource import Model, Rule
from puna_router.config import Stickiness


class RolloutStrategy(StrEnum):
    """How a changed revision takes over."""

    SURGE = "Surge"
    """The new one starts beside the old one, which serves until the new one is available."""
    REPLACE = "Replace"
    """The old one goes first: for devices with room for one."""
    CANARY = "Canary"
    """The new one gets a growing share of the requests, step by step."""


class CanaryStep(Model):
    """A share of the requests, and for how long."""

    weight: Annotated[int, Field(ge=0, le=100)]
    """Percent of the requests that the new revision gets; 0: it runs and gets none."""
    hold_seconds: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    """Time until the next step, or, after the last one, until the new revision takes over.

    Absent: it waits for promotion (`puna promote`).
    """


class Canary(Model):
    """Steps on which a new revision takes over."""

    steps: Annotated[tuple[CanaryStep, ...], Field(min_length=1, max_length=10)]
    """Steps in their order; weights never fall."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Servers of the new revision in each pool, at most as many as the pool has.

    All of the pool's before the last of several steps, and before the new revision takes over.
    """
    stickiness: Stickiness = Stickiness.NONE
    """What keeps a client on one revision while weights grow."""
    analysis: Analysis | None = None
    """What is asked of the new revision at every step; absent: nothing, time alone decides."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.steps.map(step, step.weight).isSorted()",
            "weights must not fall from step to step",
            ".steps",
        ),
        Rule(
            "!has(self.analysis) || self.steps[0].weight < 100 "
            "|| has(self.analysis.minRequests) && self.analysis.minRequests == 0",
            "at 100 the stable revision gets no requests that the new one could be compared with; "
            "begin with less, or set analysis.minRequests to 0",
            ".steps",
        ),
        Rule(
            "self.steps.filter(step, !has(step.holdSeconds)).size() <= "
            "(has(self.steps[self.steps.size() - 1].holdSeconds) ? 0 : 1)",
            "only the last step may wait for promotion, which ends the canary; "
            "set holdSeconds of the others",
            ".steps",
        ),
    )


class Shadow(Model):
    """Copies of requests for a new revision: into slots that nobody needs, answers discarded."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """Percent of the stable revision's requests that are copied."""


class Rollout(Model):
    """How a change of model, preset or server settings reaches users."""

    strategy: RolloutStrategy = RolloutStrategy.SURGE
    """How the new revision takes over."""
    canary: Canary | None = None
    """Steps of strategy Canary."""
    shadow: Shadow | None = None
    """Copies of requests that a canary gets besides; absent: none."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.shadow) || self.strategy == 'Canary'",
            "is for strategy Canary alone",
            ".shadow",
            "FieldValueForbidden",
        ),
        Rule(
            "self.strategy != 'Canary' || has(self.canary)",
            "required for strategy Canary",
            ".canary",
            "FieldValueRequired",
        ),
        Rule(
            "!has(self.canary) || self.strategy == 'Canary'",
            "is for strategy Canary alone",
            ".canary",
            "FieldValueForbidden",
        ),
    )

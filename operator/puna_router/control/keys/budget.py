"""Tokens per minute: what a key has left, from counters that only grow.

A budget holds one minute's tokens and refills steadily. A request is charged when it ends, for no
one knows its length before; so a budget may fall below zero, and is then exhausted until it is
paid back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens of one key at one endpoint."""

    level: float
    """Tokens left; negative: owed."""
    at: float
    """When that was so, in seconds since the epoch."""
    counted: int | None = None
    """Counter that the level accounts for; None before the first look at it."""


def full(tokens_per_minute: int, now: float) -> Budget:
    """A budget of which nothing is spent."""
    return Budget(level=tokens_per_minute, at=now)


def charge(budget: Budget, counter: int, *, tokens_per_minute: int, now: float) -> Budget:
    """Refill until now, and take off what the counter has gained.

    What was counted before the first look is not charged. A counter that is lower than before
    belongs to an Envoy that has started anew, and counts from zero.
    """
    gained = 0
    if budget.counted is not None:
        gained = counter - budget.counted if counter >= budget.counted else counter
    refilled = refill(budget, tokens_per_minute=tokens_per_minute, now=now)
    return replace(refilled, level=refilled.level - gained, counted=counter)


def refill(budget: Budget, *, tokens_per_minute: int, now: float) -> Budget:
    """The budget as it is now; a clock that was set back gives nothing and takes nothing."""
    passed = max(0.0, now - budget.at)
    level = min(float(tokens_per_minute), budget.level + passed * tokens_per_minute / MINUTE)
    return replace(budget, level=level, at=now)


def exhausted_until(budget: Budget, tokens_per_minute: int) -> int | None:
    """Second of the epoch from which there is a token again; None if there is one."""
    if budget.level >= 1:
        return None
    return ceil(budget.at + (1 - budget.level) * MINUTE / tokens_per_minute)

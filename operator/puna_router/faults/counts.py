"""What a server of the lab has seen."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

REMEMBERED: Final = 10_000
"""Requests whose end is remembered."""


class Outcome(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    """Answered to the last byte."""
    CANCELLED = "cancelled"
    """The client left."""
    FAILED = "failed"
    """A fault ended it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One request that has ended."""

    id: str
    """Its `x-request-id`; empty without one."""
    fault: str | None
    outcome: Outcome


@dataclass(slots=True)
class Counts:
    """Requests that generate or embed; nothing else counts."""

    requests: int = 0
    concurrent: int = 0
    """Under way now, those that wait for a slot too."""
    max_concurrent: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    health_checks: int = 0
    prompt_tokens: int = 0
    predicted_tokens: int = 0
    recent: deque[Ended] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def began(self) -> None:
        """A request has come."""
        self.requests += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)

    def ended(self, ended: Ended) -> None:
        """A request has ended."""
        self.concurrent -= 1
        self.outcomes[ended.outcome] += 1
        self.recent.append(ended)

    def document(self) -> dict[str, Any]:
        """The numbers as `/lab` shows them."""
        return {
            "requests": self.requests,
            "concurrent": self.concurrent,
            "maxConcurrent": self.max_concurrent,
            **{str(outcome): self.outcomes[outcome] for outcome in Outcome},
            "faults": dict(sorted(self.faults.items())),
            "healthChecks": self.health_checks,
        }

    def ends(self) -> list[dict[str, Any]]:
        """The last requests, oldest first, as `/lab/requests` shows them."""
        return [
            {"id": ended.id, "fault": ended.fault, "outcome": ended.outcome}
            for ended in self.recent
        ]

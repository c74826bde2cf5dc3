"""What one endpoint counts since the picker's start."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from puna_router.picker.refusals import Reason
from puna_router.picker.state import WAIT_BOUNDS, WaitState


@dataclass(slots=True)
class Counters:
    """Counters of one endpoint; see `EndpointState` for their meaning."""

    picked: int = 0
    ended: int = 0
    cancelled: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    prefix_hits: int = 0
    prefix_misses: int = 0
    wait_seconds: float = 0.0
    wait_buckets: list[int] = field(default_factory=lambda: [0] * (len(WAIT_BOUNDS) + 1))

    def pick(self, waited: float) -> None:
        """Count a request that gets a slot after a wait in seconds."""
        self.picked += 1
        self.wait_seconds += waited
        self.wait_buckets[bisect_left(WAIT_BOUNDS, waited)] += 1

    def remember(self, *, hit: bool) -> None:
        """Count a request whose server remembers some of its prompt, or none."""
        if hit:
            self.prefix_hits += 1
        else:
            self.prefix_misses += 1

    def waits(self) -> WaitState:
        """How long requests waited."""
        return WaitState(tuple(self.wait_buckets), self.wait_seconds)

"""Retry: when to ask again, bounded in number and in time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WORTHWHILE: Final = 1024 * 1024
"""Bytes that make an attempt more than a failure."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for what; seconds."""

    connect: float = 10.0
    """For a connection."""
    stall: float = 60.0
    """For the next 64 KiB."""
    first_wait: float = 1.0
    """Before the second attempt; each further wait is twice as long."""
    longest_wait: float = 30.0
    """Before any attempt."""
    attempts: int = 8
    """Failures in a row that brought nothing new."""
    total_attempts: int = 200
    """Failures of one file, however much each brought."""


PATIENT: Final = Limits()
"""Of a run that nobody watches."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What went wrong so far."""

    in_a_row: int = 0
    total: int = 0
    completed: int = 0
    """Bytes there were at the latest failure."""

    def after(self, completed: int) -> Failures:
        """Return these and one more; it starts a new row if enough bytes came since the last."""
        moved_on = completed - self.completed >= WORTHWHILE
        in_a_row = 1 if moved_on else self.in_a_row + 1
        return Failures(in_a_row, self.total + 1, completed if moved_on else self.completed)


def wait_before_retry(
    limits: Limits, failures: Failures, *, retry_after: float | None, jitter: float
) -> float | None:
    """Return the seconds to wait before the next attempt; None to give up.

    `jitter` in [0, 1) spreads the waits of many runs. What the source asks for is honoured, up to
    ten of our longest waits.
    """
    if failures.in_a_row >= limits.attempts or failures.total >= limits.total_attempts:
        return None
    doubled = limits.first_wait * 2.0 ** min(failures.in_a_row - 1, 32)
    wait = min(doubled, limits.longest_wait) * (0.5 + jitter / 2)
    return max(wait, min(retry_after or 0.0, 10 * limits.longest_wait))

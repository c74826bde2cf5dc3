"""When to ask again: doubling waits up to a limit, bounded in number and in time. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the retries; seconds."""

    budget: float
    """From the first failure that brought nothing new to the last retry."""
    attempts: int = 10
    """Failures in a row that brought nothing new."""
    total_attempts: int = 200
    """Failures of the whole download, however much each brought."""
    first_wait: float = 1.0
    longest_wait: float = 60.0


@dataclass(frozen=True, slots=True)
class Failures:
    """What went wrong so far."""

    in_a_row: int = 0
    total: int = 0
    since: float = 0.0
    """Time of the first failure in the row."""
    completed: int = 0
    """Bytes there were at the latest failure."""

    def after(self, *, now: float, completed: int, worthwhile: int) -> Failures:
        """The failures with one more; it starts a new row if enough bytes came since the last."""
        moved_on = completed - self.completed >= worthwhile
        if self.in_a_row == 0 or moved_on:
            return Failures(1, self.total + 1, now, completed)
        return Failures(self.in_a_row + 1, self.total + 1, self.since, self.completed)


def wait_before_retry(
    policy: RetryPolicy, failures: Failures, *, now: float, retry_after: float | None, jitter: float
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    `jitter` in [0, 1) spreads the waits of many Pods; a source's own `retry_after` is never
    undercut.
    """
    if failures.in_a_row >= policy.attempts or failures.total >= policy.total_attempts:
        return None
    doubled: float = policy.first_wait * 2 ** (failures.in_a_row - 1)
    wait = min(doubled, policy.longest_wait) * (0.5 + jitter / 2)
    wait = max(wait, retry_after or 0.0)
    if now + wait > failures.since + policy.budget:
        return None
    return wait

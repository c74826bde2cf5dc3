"""How long a container waits before it is started again. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(seconds=300)
RESET_AFTER: Final = timedelta(minutes=10)
"""A container that ran this long starts afresh."""
RETRY_FIRST: Final = timedelta(milliseconds=100)
RETRY_LONGEST: Final = timedelta(seconds=5)


def restart_delay(restarts: int) -> timedelta:
    """Delay before the next restart after so many restarts in a row: 0, 10, 20, 40 ... 300 s."""
    if restarts <= 0:
        return timedelta(0)
    return min(LONGEST, FIRST * (1 << min(restarts - 1, 16)))


def restarts_in_a_row(restarts: int, ran: timedelta) -> int:
    """Restarts to count against a container that ended after it ran for a while."""
    return 0 if ran >= RESET_AFTER else restarts


def retry_delay(tries: int) -> timedelta:
    """Delay before what could not be prepared is tried again: 0.1, 0.2, 0.4 ... 5 s."""
    return min(RETRY_LONGEST, RETRY_FIRST * (1 << min(max(tries, 1) - 1, 16)))

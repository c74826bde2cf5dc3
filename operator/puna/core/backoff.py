"""Back-off: how long to wait before something is tried again."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 30.0
REJECTED_SECONDS: Final = 30.0
"""Wait before something refused is tried again, for the cause may be gone."""


def retry_delay(failures: int, asked: float | None, jitter: float) -> float:
    """Return seconds to wait after some failures in a row: exponential, capped, spread.

    A wait that the server asked for is kept in full. `jitter` lies in [0, 1); it spreads the delay
    over its upper half, so that those who failed together do not come back together.
    """
    steps = min(max(failures, 1) - 1, 16)
    delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**steps) * (0.5 + jitter / 2)
    return max(delay, asked or 0.0)

"""Whether the picker gets on: what `/live` says, beyond a port that listens."""

from __future__ import annotations

from typing import Final

STUCK_LIMIT: Final = 3.0
"""How long a request may wait beside a free slot, in seconds: no longer than one turn of the loop
if all is well."""
BEAT_LIMIT: Final = 5.0
"""Longest time between two turns of the loop, in seconds."""


class Progress:
    """What the loop reports at every turn, and what follows from it."""

    def __init__(self, now: float) -> None:
        self._beat = now
        self._stuck_since: float | None = None

    def beat(self, now: float, *, stuck: bool) -> None:
        """Note a turn of the loop, and whether a request waits beside a free slot."""
        self._beat = now
        if not stuck:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now

    def problem(self, now: float) -> str | None:
        """What hinders the picker; None if nothing does."""
        if now - self._beat > BEAT_LIMIT:
            return f"the loop has not turned for {now - self._beat:.1f} s"
        if self._stuck_since is not None and now - self._stuck_since > STUCK_LIMIT:
            stuck = now - self._stuck_since
            return f"requests wait although a slot has been free for {stuck:.1f} s"
        return None

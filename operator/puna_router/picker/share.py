"""Shares among routers: each takes its part of what all of them have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One router's share."""

    routers: int = 1
    index: int = 0
    """Which of the routers it is, from 0."""

    def part(self, total: int, offset: int = 0) -> int:
        """This router's part of a total.

        The parts of all routers add up to the total, unless there is less than one for each: then
        everybody gets one. Nothing stays nothing. `offset` says whose turn it is to get more: the
        same for all routers, another for each server, so that no router gets more of every server.
        """
        if total == 0:
            return 0
        whole, rest = divmod(total, self.routers)
        return max(1, whole + ((self.index + offset) % self.routers < rest))

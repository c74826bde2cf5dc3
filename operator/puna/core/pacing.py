"""Pacing: when a status that changes all the time may be written for that again. Pure.

On average at most one write for each interval: every such write moves the next turn on by one, and
one that comes a little early does not move it less. So a write can follow the line that it tells at
once, although lines come with some jitter, and a number is never shown for much longer than one
interval.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

WRITE_INTERVAL: Final = timedelta(seconds=5)
"""Average time between two writes of a status that differ in numbers alone; never less."""
EARLY: Final = timedelta(milliseconds=250)
"""How much before its turn a write may come: what lines of a steady sender differ by."""
PATIENCE: Final = timedelta(milliseconds=500)
"""How long after its turn a write waits for a line that is newer than one of long before."""


def is_due(turn: datetime | None, now: datetime) -> bool:
    """Return whether a status may be written for numbers alone; None: it never was."""
    return turn is None or now >= turn - EARLY


def next_turn(turn: datetime | None, now: datetime) -> datetime:
    """Return the turn that follows a write at `now`.

    What was written for more than numbers, long before the turn, lets numbers wait anew and is no
    debt of theirs: a run that starts, with many milestones in a moment, is shown all the same.
    """
    early = turn is not None and now < turn and is_due(turn, now)
    return (turn if turn is not None and early else now) + WRITE_INTERVAL


def wait_for_turn(turn: datetime | None, now: datetime) -> timedelta:
    """Return how long news of `now` wait: until the turn, and a little for newer ones."""
    if turn is None or is_due(turn, now):
        return timedelta()
    return turn + PATIENCE - now

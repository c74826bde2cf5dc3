"""Keyed queue: which key is worked on next. Pure: the clock is an argument.

Laws: a key is never worked on twice at once; a key woken while it is worked on is worked on again;
however often it is woken before, it is worked on once; none before the wait that a failure brought.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from puna.core.plan import Ref


class Key(NamedTuple):
    """One resource to reconcile."""

    kind: str
    ref: Ref


@dataclass(slots=True)
class _Entry:
    due: float = math.inf
    """When to start; infinity: not woken."""
    urgent: bool = False
    queued: bool = False
    """Whether it waits in a lane for a worker."""
    running_since: float | None = None
    not_before: float = -math.inf
    failures: int = 0


@dataclass(slots=True)
class KeyedQueue:
    """Keys in two lanes: urgent ones go first, and normal ones leave some workers to them."""

    normal_limit: int
    """Normal keys worked on at once."""
    modest_limit: int = 2
    """Normal keys worked on at once while there are urgent ones: the API server serves those first
    only if it is not busy with the rest."""
    _entries: dict[Key, _Entry] = field(default_factory=dict)
    _urgent: deque[Key] = field(default_factory=deque)
    _normal: deque[Key] = field(default_factory=deque)
    _later: list[tuple[float, Key]] = field(default_factory=list)
    _normal_running: set[Key] = field(default_factory=set)
    _urgent_running: set[Key] = field(default_factory=set)

    def wake(self, key: Key, now: float, *, delay: float = 0.0, urgent: bool = False) -> None:
        """Have a key worked on after a delay in seconds, or sooner if it already was to be."""
        entry = self._entries.setdefault(key, _Entry())
        entry.due = min(entry.due, max(now + delay, entry.not_before))
        if entry.running_since is not None:
            entry.urgent = entry.urgent or urgent
            return
        if urgent and not entry.urgent:
            entry.urgent = True
            if entry.queued:
                self._urgent.append(key)
        if not entry.queued:
            self._schedule(key, entry, now)

    def take(self, now: float) -> Key | None:
        """Return the next key to work on, if one is due and may be."""
        self._promote(now)
        key, running = self._pop(self._urgent, urgent=True), self._urgent_running
        if key is None and len(self._normal_running) < self._limit():
            key, running = self._pop(self._normal, urgent=False), self._normal_running
        if key is None:
            return None
        running.add(key)
        entry = self._entries[key]
        entry.queued, entry.urgent, entry.due = False, False, math.inf
        entry.running_since = now
        return key

    def _pop(self, lane: deque[Key], *, urgent: bool) -> Key | None:
        key = self._first(lane, urgent=urgent)
        if key is not None:
            lane.popleft()
        return key

    def _first(self, lane: deque[Key], *, urgent: bool) -> Key | None:
        """Return the first key of a lane; drop those that have been taken through the other one."""
        while lane:
            entry = self._entries.get(lane[0])
            if entry is not None and entry.queued and entry.urgent is urgent:
                return lane[0]
            lane.popleft()
        return None

    def done(
        self, key: Key, now: float, *, again: float | None = None, urgent: bool = False
    ) -> None:
        """End the work on a key well; look again after some seconds if asked to."""
        entry = self._finish(key)
        entry.urgent = entry.urgent or (urgent and again is not None)
        entry.failures, entry.not_before = 0, -math.inf
        self._resume(key, entry, now, again)

    def failed(self, key: Key, now: float, *, wait: float) -> None:
        """End the work on a key badly: it is not touched before the wait is over."""
        entry = self._finish(key)
        entry.failures += 1
        entry.not_before = now + wait
        entry.due = max(entry.due, entry.not_before) if entry.due < math.inf else math.inf
        self._resume(key, entry, now, wait)

    def failures(self, key: Key) -> int:
        """Return how often in a row the work on a key has failed."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.failures

    def has_urgent(self) -> bool:
        """Return whether an urgent key waits for a worker."""
        return self._first(self._urgent, urgent=True) is not None

    def has_more(self) -> bool:
        """Return whether another worker would find something to do."""
        return bool(self._urgent or self._normal)

    def depth(self) -> int:
        """Return how many keys wait for a worker."""
        return sum(entry.queued for entry in self._entries.values())

    def longest_wait(self, now: float) -> float:
        """Return how long the oldest due key has waited, in seconds."""
        dues = [entry.due for entry in self._entries.values() if entry.queued]
        return max(0.0, now - min(dues)) if dues else 0.0

    def longest_run(self, now: float) -> tuple[float, Key] | None:
        """Return what has been worked on for the longest time, and for how long in seconds."""
        runs = [
            (now - entry.running_since, key)
            for key, entry in self._entries.items()
            if entry.running_since is not None
        ]
        return max(runs, default=None)

    def next_due(self) -> float | None:
        """Return when the next key becomes due that is not due yet."""
        return self._later[0][0] if self._later else None

    def _limit(self) -> int:
        if self._urgent_running:
            return min(self.normal_limit, self.modest_limit)
        return self.normal_limit

    def _finish(self, key: Key) -> _Entry:
        self._normal_running.discard(key)
        self._urgent_running.discard(key)
        entry = self._entries[key]
        entry.running_since = None
        return entry

    def _resume(self, key: Key, entry: _Entry, now: float, again: float | None) -> None:
        """Schedule what came up while a key was worked on, and what the work asked for."""
        if again is not None:
            entry.due = min(entry.due, now + again)
        if entry.due < math.inf:
            self._schedule(key, entry, now)
        elif entry.failures == 0:
            del self._entries[key]

    def _schedule(self, key: Key, entry: _Entry, now: float) -> None:
        if entry.due <= now:
            entry.queued = True
            (self._urgent if entry.urgent else self._normal).append(key)
        else:
            heapq.heappush(self._later, (entry.due, key))

    def _promote(self, now: float) -> None:
        """Move keys whose time has come into their lanes."""
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            entry = self._entries.get(key)
            if entry is None or entry.queued or entry.running_since is not None:
                continue
            if entry.due <= due:
                self._schedule(key, entry, now)

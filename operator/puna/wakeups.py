"""Wakeups: workers around the keyed queue, on the event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from puna.core.keyed_queue import Key, KeyedQueue

URGENT_WORKERS: Final = 2
"""Workers that normal keys leave free, so that a new object never waits for old ones."""

TURNS: Final = 6
"""Turns of the event loop between two passes of a worker: as many as an answer takes on its way."""


@dataclass(frozen=True, slots=True)
class Done:
    """A pass that ended well."""

    again: float | None = None
    """Seconds until the next look; None: when woken."""
    urgent: bool = False
    """Whether the next look goes before what others have left to do."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A pass to be tried again."""

    wait: float
    """Seconds before which nothing may be tried."""


class Wakeups:
    """What is to be reconciled, and who does it."""

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._clock = clock
        self.queue: Final = KeyedQueue(normal_limit=max(1, workers - URGENT_WORKERS))
        self._idle: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, key: Key, *, delay: float = 0.0, urgent: bool = False) -> None:
        """Have a key reconciled after a delay in seconds."""
        self.queue.wake(key, self._clock(), delay=delay, urgent=urgent)
        self._stir()

    async def work(self, run_once: Callable[[Key], Awaitable[Done | Failed]]) -> None:
        """Reconcile what is woken until cancelled. `run_once` raises nothing but cancellation."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._worker(run_once), name=f"worker-{number}")

    async def _worker(self, run_once: Callable[[Key], Awaitable[Done | Failed]]) -> None:
        while True:
            key = self.queue.take(self._clock())
            if key is None:
                await self._rest()
                continue
            if self.queue.has_more():
                self._stir()
            # While this worker is busy, the next due key has to find another one.
            self._set_timer()
            outcome = await run_once(key)
            if isinstance(outcome, Failed):
                self.queue.failed(key, self._clock(), wait=outcome.wait)
            else:
                self.queue.done(key, self._clock(), again=outcome.again, urgent=outcome.urgent)
            # A pass that waits for nothing would keep everybody waiting.
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def _rest(self) -> None:
        """Wait until there may be something to do."""
        future = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        self._set_timer()
        try:
            await future
        finally:
            if future in self._idle:
                self._idle.remove(future)

    def _stir(self) -> None:
        """Have one resting worker look: for what is due now, or for the new next time."""
        if self._idle:
            future = self._idle.pop()
            if not future.done():
                future.set_result(None)

    def _set_timer(self) -> None:
        """Stir a worker when the next key becomes due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.queue.next_due()
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due - self._clock()), self._stir)

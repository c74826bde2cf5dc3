"""Telemetry of routers: what each says it serves. A router that hangs holds nobody up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from pydantic import ValidationError

from puna_router.config import CONTROL_PORT, RouterState

FRESH_SECONDS: Final = 0.1
"""Age up to which an answer is shared between endpoints."""
PATIENCE_SECONDS: Final = 0.1
"""Time that a pass waits for an answer; a late one wakes it again."""
READ_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 2.0
"""Time after which a router that did not answer is asked again."""
READS: Final = 16
MAX_BYTES: Final = 4 << 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Read:
    """The newest read of one router, running or ended."""

    task: asyncio.Task[RouterState | None]
    started: float
    ended: float | None = None


class Telemetry:
    """`GET /state` of router Pods by address."""

    def __init__(self, session: aiohttp.ClientSession, *, port: int = CONTROL_PORT) -> None:
        self._session = session
        self._port = port
        self._reads: dict[str, _Read] = {}
        self._slots = asyncio.Semaphore(READS)

    async def state(self, address: str, late: Callable[[], None]) -> RouterState | None:
        """Return what a router serves; None if it does not answer in time.

        An answer that comes after the wait calls `late`, so that somebody asks again.
        """
        now = time.monotonic()
        read = self._reads.get(address)
        if read is None or _is_stale(read, now):
            read = self._start(address, now)
        patience = read.started + PATIENCE_SECONDS - now
        if not read.task.done() and patience > 0:
            await asyncio.wait({read.task}, timeout=patience)
        if read.task.done():
            return read.task.result()
        read.task.add_done_callback(lambda _: late())
        return None

    async def close(self) -> None:
        """End all reads."""
        tasks = [read.task for read in self._reads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, address: str, now: float) -> _Read:
        for known, old in list(self._reads.items()):
            if _is_stale(old, now):
                del self._reads[known]
        read = _Read(asyncio.create_task(self._read(address)), now)
        read.task.add_done_callback(lambda _: setattr(read, "ended", time.monotonic()))
        self._reads[address] = read
        return read

    async def _read(self, address: str) -> RouterState | None:
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self._port}/state"
        try:
            async with (
                self._slots,
                asyncio.timeout(READ_SECONDS),
                self._session.get(url) as response,
            ):
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_BYTES:
                        return None
                if response.status != HTTPStatus.OK:
                    return None
                return RouterState.model_validate_json(bytes(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            log.debug("router %s: /state: %s: %s", address, type(error).__name__, error)
            return None


def _is_stale(read: _Read, now: float) -> bool:
    if read.ended is None:
        return False
    lifetime = SILENT_SECONDS if read.task.result() is None else FRESH_SECONDS
    return now - read.ended > lifetime

"""Telemetry of routers: what each says of itself. A router that hangs holds nobody up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from pydantic import ValidationError

from puna_router.config import CONTROL_PORT, Document, RouterState
from puna_router.samples import EndpointSamples

FRESH_SECONDS: Final = 0.1
"""Age up to which an answer is shared between endpoints."""
FRESH_SAMPLES_SECONDS: Final = 1.0
"""Age up to which samples are taken for the present ones: Envoy itself sums up every 5 s."""
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
    """The newest read of one page of a router, running or ended."""

    task: asyncio.Task[Any]
    """Its result is the document, None if there is none."""
    started: float
    fresh: float
    """Seconds for which the answer counts as the present one."""
    ended: float | None = None

    def is_stale(self, now: float) -> bool:
        """Return whether the page is to be read again."""
        if self.ended is None:
            return False
        return now - self.ended > (SILENT_SECONDS if self.task.result() is None else self.fresh)


class Telemetry:
    """Pages of router Pods by address."""

    def __init__(self, session: aiohttp.ClientSession, *, port: int = CONTROL_PORT) -> None:
        self._session = session
        self._port = port
        self._reads: dict[str, _Read] = {}
        self._slots = asyncio.Semaphore(READS)

    async def state(self, address: str, late: Callable[[], None]) -> RouterState | None:
        """Return what a router serves; None if it does not answer in time.

        An answer that comes after the wait calls `late`, so that somebody asks again.
        """
        url = self._url(address, "/state")
        read = await self._page(url, RouterState, late, FRESH_SECONDS)
        state: RouterState | None = read.task.result() if read is not None else None
        return state

    async def samples(
        self, address: str, endpoint: str, late: Callable[[], None]
    ) -> tuple[EndpointSamples, float] | None:
        """Return what a router has counted of an endpoint, and the seconds since it said so.

        None and `late` as for `state`.
        """
        url = self._url(address, f"/samples/{endpoint}")
        read = await self._page(url, EndpointSamples, late, FRESH_SAMPLES_SECONDS)
        found: EndpointSamples | None = read.task.result() if read is not None else None
        if read is None or found is None:
            return None
        return found, max(0.0, time.monotonic() - (read.ended or read.started))

    async def close(self) -> None:
        """End all reads."""
        tasks = [read.task for read in self._reads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _page(
        self, url: str, kind: type[Document], late: Callable[[], None], fresh: float
    ) -> _Read | None:
        """Return an ended read of a page; None if it does not end in time."""
        now = time.monotonic()
        read = self._reads.get(url)
        if read is None or read.is_stale(now):
            read = self._start(url, kind, now, fresh)
        patience = read.started + PATIENCE_SECONDS - now
        if not read.task.done() and patience > 0:
            await asyncio.wait({read.task}, timeout=patience)
        if read.task.done():
            return read
        read.task.add_done_callback(lambda _: late())
        return None

    def _start(self, url: str, kind: type[Document], now: float, fresh: float) -> _Read:
        for known, old in list(self._reads.items()):
            if old.is_stale(now):
                del self._reads[known]
        read = _Read(asyncio.create_task(self._read(url, kind)), now, fresh)
        read.task.add_done_callback(lambda _: setattr(read, "ended", time.monotonic()))
        self._reads[url] = read
        return read

    def _url(self, address: str, path: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self._port}{path}"

    async def _read(self, url: str, kind: type[Document]) -> Document | None:
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
                return kind.model_validate_json(bytes(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            log.debug("%s: %s: %s", url, type(error).__name__, error)
            return None

"""Progress of Pods, followed through their logs (ADR 0003): of model fetches and of training."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from puna.cluster.client import Client
from puna.cluster.connection import FOLLOWED
from puna.cluster.errors import ClusterError
from puna.core.plan import Manifest, Ref

INTERVAL_SECONDS: Final = 2.5
"""Between the openings of one log, at least."""
FOLLOW_BYTES: Final = 1 << 18
"""Of a log that is followed, until it is opened anew at its end: so a Pod that floods its log is
read at intervals, and its last line is still a new one."""
SILENCE_SECONDS: Final = 60.0
"""After which a connection is taken for dead."""
READ_SECONDS: Final = 2.0
READS: Final = 16
"""Logs read at once that are not followed."""

log = logging.getLogger(__name__)

DocumentT = TypeVar("DocumentT", bound=BaseModel)
News: TypeAlias = Callable[[DocumentT | None, DocumentT], None]
"""Called with what a Pod said before, and what it says now."""


class Lookup(Protocol):
    """What a follower reads of the store."""

    def find(self, kind: str, ref: Ref) -> Manifest | None:
        """Return an object."""


@dataclass(frozen=True, slots=True)
class Told(Generic[DocumentT]):
    """What progress is, and where it is told."""

    document: type[DocumentT]
    """A line counts as progress if it parses as this."""
    container: str
    is_running: Callable[[Manifest | None], bool]
    """Whether the container of a Pod runs."""
    lines: int
    """Lines from the end of the log that are looked at."""


class PodLogs(Generic[DocumentT]):
    """The last progress of every Pod that tells some. No pass ever waits for a log."""

    def __init__(self, client: Client, store: Lookup, told: Told[DocumentT]) -> None:
        """Follow logs for as long as their containers run, and read them once more in the end."""
        self._client = client
        self._store = store
        self._told = told
        self._known: dict[Ref, DocumentT] = {}
        self._followers: dict[Ref, asyncio.Task[None]] = {}
        self._streams = asyncio.Semaphore(FOLLOWED)
        self._reads = asyncio.Semaphore(READS)

    def progress(self, pod: Ref, changed: News[DocumentT]) -> DocumentT | None:
        """Return what a Pod last said; follow it from now on and call `changed` on news."""
        follower = self._followers.get(pod)
        if follower is None or (follower.done() and self._is_running(pod)):
            self._forget()
            self._followers[pod] = asyncio.create_task(self._follow(pod, changed))
        return self._known.get(pod)

    async def close(self) -> None:
        """End all followers."""
        tasks = list(self._followers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, pod: Ref, changed: News[DocumentT]) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            # Looked at before the read: what is said last is read after the end.
            running = self._is_running(pod)
            try:
                if running and not self._streams.locked():
                    async with self._streams:
                        await self._stream(pod, changed)
                else:
                    async with self._reads:
                        await self._read(pod, changed)
            except ClusterError as error:
                log.debug("Pod %s/%s: its log cannot be read: %s", pod.namespace, pod.name, error)
            if not running:
                return
            due = max(due + INTERVAL_SECONDS, clock())
            await asyncio.sleep(due - clock())

    def _is_running(self, pod: Ref) -> bool:
        return self._told.is_running(self._store.find("Pod", pod))

    async def _stream(self, pod: Ref, changed: News[DocumentT]) -> None:
        """Take what a container says as it says it."""
        rest = b""
        async for part in self._client.log_parts(
            pod.namespace,
            pod.name,
            self._told.container,
            lines=self._told.lines,
            size=FOLLOW_BYTES,
            silence=SILENCE_SECONDS,
        ):
            *lines, rest = (rest + part).split(b"\n")
            self._take(pod, lines, changed)
        self._take(pod, [rest], changed)

    async def _read(self, pod: Ref, changed: News[DocumentT]) -> None:
        """Take what a container said last."""
        text = await self._client.log_tail(
            pod.namespace,
            pod.name,
            self._told.container,
            lines=self._told.lines,
            timeout=READ_SECONDS,
        )
        self._take(pod, text.splitlines(), changed)

    def _take(self, pod: Ref, lines: list[bytes], changed: News[DocumentT]) -> None:
        """Remember the last progress among some lines; lines that hold none say nothing."""
        for line in reversed(lines):
            if not line.startswith(b"{"):
                continue
            try:
                progress = self._told.document.model_validate_json(line)
            except ValidationError:
                continue
            before = self._known.get(pod)
            if progress != before:
                self._known[pod] = progress
                changed(before, progress)
            return

    def _forget(self) -> None:
        """Let go of Pods that are no more."""
        for pod, follower in list(self._followers.items()):
            if follower.done() and self._store.find("Pod", pod) is None:
                del self._followers[pod]
                self._known.pop(pod, None)

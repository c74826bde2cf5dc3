"""Progress of Pods, followed through their logs (ADR 0003): of model fetches and of training."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from puna.cluster.client import Client
from puna.cluster.errors import ClusterError
from puna.core.plan import Manifest, Ref

INTERVAL_SECONDS: Final = 2.5
"""Between two reads of a log: two reads fit between two writes of a status."""
READ_SECONDS: Final = 2.0
READS: Final = 16
"""Logs read at once."""

log = logging.getLogger(__name__)

DocumentT = TypeVar("DocumentT", bound=BaseModel)


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
        """Read logs for as long as their containers run, and once more when they have ended."""
        self._client = client
        self._store = store
        self._told = told
        self._known: dict[Ref, DocumentT] = {}
        self._followers: dict[Ref, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(READS)

    def progress(self, pod: Ref, changed: Callable[[], None]) -> DocumentT | None:
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

    async def _follow(self, pod: Ref, changed: Callable[[], None]) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            # Looked at before the read: what is said last is read after the end.
            running = self._is_running(pod)
            async with self._slots:
                progress = await self._read(pod)
            if progress is not None and progress != self._known.get(pod):
                self._known[pod] = progress
                changed()
            if not running:
                return
            due = max(due + INTERVAL_SECONDS, clock())
            await asyncio.sleep(due - clock())

    def _is_running(self, pod: Ref) -> bool:
        return self._told.is_running(self._store.find("Pod", pod))

    async def _read(self, pod: Ref) -> DocumentT | None:
        """Read the end of a log; one that cannot be read, or holds none, says nothing."""
        try:
            text = await self._client.log_tail(
                pod.namespace,
                pod.name,
                self._told.container,
                lines=self._told.lines,
                timeout=READ_SECONDS,
            )
        except ClusterError as error:
            log.debug("Pod %s/%s: its log cannot be read: %s", pod.namespace, pod.name, error)
            return None
        for line in reversed(text.splitlines()):
            if line.startswith("{"):
                try:
                    return self._told.document.model_validate_json(line)
                except ValidationError:
                    continue
        return None

    def _forget(self) -> None:
        """Let go of Pods that are no more."""
        for pod, follower in list(self._followers.items()):
            if follower.done() and self._store.find("Pod", pod) is None:
                del self._followers[pod]
                self._known.pop(pod, None)

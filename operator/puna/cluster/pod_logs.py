"""Progress of model fetches, followed through the logs of the Pods that fetch (ADR 0003)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from puna.cluster.client import Client
from puna.cluster.errors import ClusterError
from puna.core.plan import Manifest, Ref
from puna_fetch.config import Progress

INTERVAL_SECONDS: Final = 2.0
READ_SECONDS: Final = 2.0
READS: Final = 4

log = logging.getLogger(__name__)


class FetchLogs:
    """The last progress line of every Pod that fetches. No pass ever waits for a log."""

    def __init__(self, client: Client, container: str, is_fetching: Callable[[Ref], bool]) -> None:
        """Read the logs of `container` for as long as `is_fetching` says so of its Pod."""
        self._client = client
        self._container = container
        self._is_fetching = is_fetching
        self._known: dict[Ref, Progress] = {}
        self._followers: dict[Ref, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(READS)

    def progress(self, pod: Ref, changed: Callable[[], None]) -> Progress | None:
        """Return what a Pod last said; follow it from now on and call `changed` on news."""
        if pod not in self._followers:
            follower = asyncio.create_task(self._follow(pod, changed))
            self._followers[pod] = follower
            follower.add_done_callback(lambda _: self._ended(pod))
        return self._known.get(pod)

    async def close(self) -> None:
        """End all followers."""
        tasks = list(self._followers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, pod: Ref, changed: Callable[[], None]) -> None:
        while self._is_fetching(pod):
            async with self._slots:
                progress = await self._read(pod)
            if progress is not None and progress != self._known.get(pod):
                self._known[pod] = progress
                changed()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _read(self, pod: Ref) -> Progress | None:
        """Read the last line; a log that cannot be read, or holds something else, says nothing."""
        try:
            line = await self._client.log_tail(
                pod.namespace, pod.name, self._container, READ_SECONDS
            )
            return Progress.model_validate_json(line)
        except (ClusterError, ValidationError) as error:
            log.debug("Pod %s/%s: no progress in its log: %s", pod.namespace, pod.name, error)
            return None

    def _ended(self, pod: Ref) -> None:
        self._followers.pop(pod, None)
        self._known.pop(pod, None)


def is_running(pod: Manifest | None, container: str) -> bool:
    """Return whether an init container of a Pod runs."""
    return pod is not None and any(
        status["name"] == container and "running" in status.get("state", {})
        for status in pod.get("status", {}).get("initContainerStatuses", ())
    )

"""Events of Kubernetes: told in the background, so that no pass waits for them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from typing import Final

from puna.cluster.client import Client
from puna.cluster.errors import ClusterError, RejectedError
from puna.cluster.resources import EVENTS
from puna.core.backoff import retry_delay
from puna.core.naming import FIELD_MANAGER, digest8
from puna.core.plan import Event, Manifest

MAX_WAITING: Final = 2000
ATTEMPTS: Final = 4
MAX_MESSAGE: Final = 1024

log = logging.getLogger(__name__)


class EventSender:
    """A bounded queue of events and the task that sends them."""

    def __init__(self, client: Client, dropped: Callable[[], None]) -> None:
        """Call `dropped` for every event that could not be delivered."""
        self._client = client
        self._dropped = dropped
        self._waiting: asyncio.Queue[Manifest] = asyncio.Queue(MAX_WAITING)

    def emit(self, resource: Manifest, event: Event, now: datetime) -> None:
        """Tell an event about a resource."""
        try:
            self._waiting.put_nowait(event_object(resource, event, now))
        except asyncio.QueueFull:
            self._dropped()

    async def run(self) -> None:
        """Send what is told until cancelled."""
        while True:
            manifest = await self._waiting.get()
            if not await self._send(manifest):
                self._dropped()
            self._waiting.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until all is sent, but not longer than some seconds."""
        try:
            await asyncio.wait_for(self._waiting.join(), seconds)
        except TimeoutError:
            log.warning("%d events were not sent", self._waiting.qsize())

    async def _send(self, manifest: Manifest) -> bool:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._client.create(EVENTS, manifest)
            except RejectedError as error:
                log.warning("event refused: %s", error.message)
                return False
            except ClusterError as error:
                log.debug("event not sent yet: %s", error)
                await asyncio.sleep(retry_delay(attempt, None, random.random()))  # noqa: S311
            else:
                return True
        return False


def event_object(resource: Manifest, event: Event, now: datetime) -> Manifest:
    """Return an event as the API server stores it; equal events of one moment have one name."""
    metadata = resource["metadata"]
    at = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    name = digest8([metadata["uid"], event.reason, event.message, now.isoformat()])
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name']}.{name}",
        },
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": event.type,
        "reason": event.reason.value,
        "message": event.message[:MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": FIELD_MANAGER,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }

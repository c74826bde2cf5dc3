"""Events about Pods, counted where they repeat."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

from puna_node.actions import Notice
from puna_node.api import Api, ApiError, ApiUnreachableError
from puna_node.manifest import Manifest, PodKey, format_time

LOG: Final = logging.getLogger(__name__)
REMEMBERED: Final = 512
WAITING: Final = 256
"""Events that wait to be sent; further ones are dropped while the API server is away."""


class Events:
    """Sends Events one after the other; an Event is a courtesy, so failures only reach the log."""

    def __init__(self, api: Api, node_name: str) -> None:
        self._api, self._node_name = api, node_name
        self._queue: asyncio.Queue[tuple[PodKey, Notice]] = asyncio.Queue(WAITING)
        self._known: OrderedDict[tuple[str, Notice], tuple[str, int]] = OrderedDict()

    def emit(self, key: PodKey, notice: Notice) -> None:
        """Queue an Event about a Pod."""
        try:
            self._queue.put_nowait((key, notice))
        except asyncio.QueueFull:
            LOG.debug("event dropped: %s %s", key, notice.reason)

    async def run(self) -> None:
        """Send what is queued, for ever."""
        while True:
            key, notice = await self._queue.get()
            try:
                await self._send(key, notice)
            except (ApiError, ApiUnreachableError) as error:
                LOG.debug("event %s of %s: %s", notice.reason, key, error)

    async def _send(self, key: PodKey, notice: Notice) -> None:
        now = format_time(datetime.now(UTC))
        known = self._known.get((key.uid, notice))
        if known is not None:
            name, count = known
            try:
                patch = {"count": count + 1, "lastTimestamp": now}
                await self._api.patch_event(key.namespace, name, patch)
                self._known[key.uid, notice] = (name, count + 1)
            except ApiError as error:
                if error.status != 404:  # noqa: PLR2004
                    raise
                del self._known[key.uid, notice]  # expired on the server
            else:
                return
        body = event_manifest(key, notice, node_name=self._node_name, now=now)
        await self._api.create_event(key.namespace, body)
        self._known[key.uid, notice] = (body["metadata"]["name"], 1)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def event_manifest(key: PodKey, notice: Notice, *, node_name: str, now: str) -> Manifest:
    """Event object about a Pod."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{key.name[:200]}.{secrets.token_hex(8)}",
            "namespace": key.namespace,
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": key.namespace,
            "name": key.name,
            "uid": key.uid,
        },
        "reason": notice.reason,
        "message": notice.message[:1000],
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": "puna-node", "host": node_name},
        "reportingComponent": "puna-node",
        "reportingInstance": node_name,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }

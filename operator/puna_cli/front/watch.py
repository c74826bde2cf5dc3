"""Follow a collection of the API server: list, watch, and start over when the server says so."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

logger = logging.getLogger(__name__)

Manifest = dict[str, Any]
STALL_SECONDS = 330
"""A watch that is silent for longer than the server keeps one open has lost its connection."""
RETRY_SECONDS = (0.2, 5.0)
"""First and longest pause before the next attempt."""


@dataclass(slots=True)
class Collection:
    """The objects of one path as last seen; `changed` is set at each change."""

    path: str
    changed: asyncio.Event
    selector: str = ""
    objects: dict[str, Manifest] = field(default_factory=dict)
    synced: bool = False

    def replace(self, items: list[Manifest]) -> None:
        """Take a full list."""
        self.objects = {item["metadata"]["uid"]: item for item in items}
        self.synced = True
        self.changed.set()

    def apply(self, kind: str, item: Manifest) -> None:
        """Take one watch event."""
        if kind == "DELETED":
            self.objects.pop(item["metadata"]["uid"], None)
        else:
            self.objects[item["metadata"]["uid"]] = item
        self.changed.set()


@asynccontextmanager
async def api_session(
    server: str, *, authority: Path, certificate: Path, key: Path
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the API server as the user of a client certificate."""
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(certificate, key)
    async with aiohttp.ClientSession(
        base_url=server,
        connector=aiohttp.TCPConnector(ssl=context),
        raise_for_status=True,
        read_bufsize=2**20,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=STALL_SECONDS),
    ) as session:
        yield session


async def follow(session: aiohttp.ClientSession, collection: Collection) -> None:
    """Keep the collection as the server has it, for ever."""
    pause = RETRY_SECONDS[0]
    while True:
        try:
            version = await _list(session, collection)
            pause = RETRY_SECONDS[0]
            await _watch(session, collection, version)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            logger.info(f"{collection.path}: {error or type(error).__name__}; again in {pause} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])


async def _list(session: aiohttp.ClientSession, collection: Collection) -> str:
    parameters = {"labelSelector": collection.selector}
    async with session.get(collection.path, params=parameters) as answer:
        document = await answer.json()
    collection.replace(document["items"])
    version: str = document["metadata"]["resourceVersion"]
    return version


async def _watch(session: aiohttp.ClientSession, collection: Collection, version: str) -> None:
    """Take events until the server ends the watch; on an ERROR event the caller lists anew."""
    while True:
        parameters = {
            "labelSelector": collection.selector,
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
        }
        async with session.get(collection.path, params=parameters) as answer:
            async for line in _lines(answer.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    collection.apply(event["type"], event["object"])


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # An object may be longer than the reader's line limit.
    pending = b""
    async for chunk in content.iter_any():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line

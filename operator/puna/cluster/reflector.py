"""Reflector: keeps one resource type's objects in step with the API server by list and watch."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Protocol

import aiohttp
import orjson

from puna.cluster.connection import Connection
from puna.cluster.errors import (
    ClusterError,
    GoneError,
    NotFoundError,
    RefusedError,
    refused,
    unreachable,
)
from puna.cluster.resources import ResourceType
from puna.core.backoff import retry_delay
from puna.core.plan import Manifest

PAGE: Final = 100
"""Objects of one answer: parsed, trimmed and forgotten before the next is asked for."""
LIST_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 240
"""Time after which the API server ends a watch; up to a quarter more, lest all end at once."""
SHORTEST_SECONDS: Final = 1.0
"""A watch that ends sooner, and showed nothing, was cut off by something on the way."""
RELIST_AFTER: Final = 3
"""Failures in a row after which a version is no longer trusted."""
SILENCE_SECONDS: Final = 90.0
"""Longest silence of a watch: bookmarks come every minute, so the connection is dead."""

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where the objects go; called on the event loop, never concurrently."""

    def listed(self, resource: ResourceType, objects: list[Manifest], version: str) -> None:
        """Take over the complete set: what is missing in it was deleted."""

    def changed(self, resource: ResourceType, event: str, manifest: Manifest) -> None:
        """Take over one change: ADDED, MODIFIED or DELETED."""

    def passed(self, resource: ResourceType, version: str) -> None:
        """Learn that everything up to a version was shown."""


class Reflector:
    """The loop of one resource type."""

    def __init__(
        self,
        connection: Connection,
        resource: ResourceType,
        sink: Sink,
        *,
        namespace: str | None,
        keep: Callable[[Manifest], Manifest],
        restarted: Callable[[str], None],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Hand on what `keep` makes of each object; tell `restarted` the kind of a lost watch."""
        self._connection = connection
        self._resource = resource
        self._sink = sink
        self._keep = keep
        self._path = resource.path(namespace)
        self._restarted = restarted
        self._silence_seconds = silence_seconds
        self._version = ""
        self._trouble = ""
        self.heard_at = time.monotonic()
        """When the API server last sent anything, on the monotonic clock."""
        self.plural: Final = resource.plural

    async def run(self) -> None:
        """List, then watch; after trouble go on where possible. Ends by cancellation alone."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                    self._recovered()
                if await self._watch():
                    failures = 0
                    continue
                reason = "the watch ended without a word"
                failures += 1
                asked = None
            except ClusterError as error:
                failures += 1
                asked = error.retry_after if isinstance(error, RefusedError) else None
                reason = self._consequence(error, failures)
            self._restarted(self._resource.kind)
            self._in_trouble(reason)
            await asyncio.sleep(retry_delay(failures, asked, random.random()))  # noqa: S311

    def _consequence(self, error: ClusterError, failures: int) -> str:
        """Forget the version where it is of no more use, and return what to tell people."""
        if isinstance(error, NotFoundError):
            self._version = ""
            return f"there is no resource {self._resource.plural} yet, waiting for it"
        if isinstance(error, GoneError) or failures >= RELIST_AFTER:
            self._version = ""
        return str(error)

    async def _list(self) -> None:
        """Read all objects, page by page."""
        objects: list[Manifest] = []
        identity = {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        params = self._selectors() | {"limit": str(PAGE)}
        while True:
            page = await self._get(params)
            objects += [self._keep(manifest | identity) for manifest in page["items"] or []]
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            params["continue"] = metadata["continue"]
        self._version = metadata["resourceVersion"]
        self._sink.listed(self._resource, objects, self._version)

    async def _watch(self) -> bool:
        """Follow changes until the API server ends the watch; return whether it was a real one.

        Raises:
            ClusterError: the watch was refused or broke.
        """
        seconds = WATCH_SECONDS + random.randrange(WATCH_SECONDS // 4)  # noqa: S311
        params = self._selectors() | {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        heard, began = False, time.monotonic()
        try:
            async with self._open(
                params, sock_connect=CONNECT_SECONDS, sock_read=self._silence_seconds
            ) as response:
                self.heard_at = time.monotonic()
                await self._check(response)
                rest = b""
                async for chunk in response.content.iter_any():
                    self.heard_at = time.monotonic()
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._take(orjson.loads(line))
                        heard = True
                    self._recovered()
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise unreachable(error) from error
        return heard or time.monotonic() - began > SHORTEST_SECONDS

    def _take(self, event: dict[str, Any]) -> None:
        """Hand one event of a watch on."""
        manifest = event["object"]
        if event["type"] == "ERROR":
            raise refused(int(manifest.get("code") or 0), orjson.dumps(manifest), {})
        self._version = str(manifest["metadata"]["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self._sink.passed(self._resource, self._version)
        else:
            self._sink.changed(self._resource, event["type"], self._keep(manifest))

    async def _get(self, params: Mapping[str, str]) -> Any:
        try:
            async with self._open(params, total=LIST_SECONDS) as response:
                self.heard_at = time.monotonic()
                await self._check(response)
                answer = await response.read()
                self.heard_at = time.monotonic()
            return orjson.loads(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise unreachable(error) from error

    @asynccontextmanager
    async def _open(
        self, params: Mapping[str, str], **timeouts: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._connection.session.get(
            self._connection.host + self._path,
            params=params,
            headers=await self._connection.headers(),
            timeout=aiohttp.ClientTimeout(**timeouts),
            server_hostname=self._connection.server_name,
            proxy=self._connection.proxy,
        ) as response:
            yield response

    @staticmethod
    async def _check(response: aiohttp.ClientResponse) -> None:
        if response.status != HTTPStatus.OK:
            raise refused(response.status, await response.read(), response.headers)

    def _selectors(self) -> dict[str, str]:
        selectors = {
            "labelSelector": self._resource.label_selector,
            "fieldSelector": self._resource.field_selector,
        }
        return {name: value for name, value in selectors.items() if value}

    def _in_trouble(self, reason: str) -> None:
        """Log the cause once, until it changes."""
        if reason != self._trouble:
            log.warning("watch of %s: %s", self._resource.plural, reason)
        self._trouble = reason

    def _recovered(self) -> None:
        if self._trouble:
            log.info("watch of %s: works again", self._resource.plural)
        self._trouble = ""

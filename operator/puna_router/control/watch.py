"""A list of objects that is kept current by a watch."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp

from puna_router.control.cluster_access import Access

SERVER_TIMEOUT: Final = 300
"""Seconds after which the API server ends a watch by itself."""
STALL_TIMEOUT: Final = 90.0
"""Longest silence, in seconds; bookmarks come about every 60."""
REQUEST_TIMEOUT: Final = 30.0
SHORTEST: Final = 1.0
"""A watch that ended sooner, in seconds, is not begun again at once."""
BACKOFF: Final = (0.1, 10.0)
"""First and longest pause before another attempt, in seconds."""

FORBIDDEN: Final = 403

logger = logging.getLogger(__name__)


class ResourceExpiredError(Exception):
    """The API server no longer knows the version that a watch started from (410): list again."""


class WatchRefusedError(Exception):
    """The API server answered with an error."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Watch:
    """Objects of one kind in one namespace, selected by a label or a field."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        *,
        path: str,
        selector: str = "",
        fields: str = "",
        changed: Callable[[], None],
    ) -> None:
        self._session = session
        self._access = access
        self._path = path
        selectors = {"labelSelector": selector, "fieldSelector": fields}
        self._selectors = {kind: text for kind, text in selectors.items() if text}
        self._changed = changed
        self._version = ""
        self._objects: dict[str, dict[str, Any]] = {}
        self.listed = asyncio.Event()
        """Set once the first list is in."""
        self.restarts = 0
        """Times that the watch had to start anew."""
        self.refused: str | None = None
        """What the API server said, if it forbids to look."""

    def objects(self) -> list[dict[str, Any]]:
        """What is there now."""
        return list(self._objects.values())

    async def run(self) -> None:
        """Keep the list current until cancelled; whatever fails is tried again."""
        pause = BACKOFF[0]
        while True:
            try:
                if not self._version:
                    await self._list()
                began = asyncio.get_running_loop().time()
                async for kind, found in self._events():
                    pause = BACKOFF[0]
                    self._take(kind, found)
                if asyncio.get_running_loop().time() - began < SHORTEST:
                    await asyncio.sleep(SHORTEST)
            except ResourceExpiredError:
                self._version = ""
            except (WatchRefusedError, aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.warning(f"watch of {self._path}: {error!r}; again in {pause:.1f} s")
                self.restarts += 1
                if isinstance(error, WatchRefusedError) and error.status == FORBIDDEN:
                    self._note_refusal(str(error))
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
                pause = min(pause * 2, BACKOFF[1])

    async def _list(self) -> None:
        url = f"{self._access.server}{self._path}"
        async with self._session.get(
            url,
            params=self._selectors,
            headers=self._access.headers(),
            ssl=self._access.tls or False,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
        ) as response:
            await _raise_unless_ok(response)
            text = await response.text()
        try:
            document = json.loads(text)
            version = document["metadata"]["resourceVersion"]
            found = {item["metadata"]["name"]: _lean(item) for item in document["items"]}
        except (ValueError, TypeError, KeyError) as error:
            raise WatchRefusedError(f"no list: {text[:200]!r}") from error
        self._version, self._objects = version, found
        self.refused = None
        self.listed.set()
        self._changed()

    def _take(self, kind: str, found: dict[str, Any]) -> None:
        if kind == "ERROR":
            if found.get("code") == 410:  # noqa: PLR2004
                raise ResourceExpiredError
            raise WatchRefusedError(json.dumps(found)[:300])
        self._version = found["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        name = found["metadata"]["name"]
        if kind == "DELETED":
            self._objects.pop(name, None)
        else:
            self._objects[name] = _lean(found)
        self._changed()

    def _note_refusal(self, refused: str | None) -> None:
        if refused != self.refused:
            self.refused = refused
            self._changed()

    async def _events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events until the server ends the watch."""
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            **self._selectors,
            "resourceVersion": self._version,
            "timeoutSeconds": str(SERVER_TIMEOUT),
        }
        async with self._session.get(
            f"{self._access.server}{self._path}",
            params=parameters,
            headers=self._access.headers(),
            ssl=self._access.tls or False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=REQUEST_TIMEOUT, sock_read=STALL_TIMEOUT
            ),
        ) as response:
            if response.status == 410:  # noqa: PLR2004
                raise ResourceExpiredError
            await _raise_unless_ok(response)
            self._note_refusal(None)
            rest = b""
            # By chunks and not by lines: an object may be longer than aiohttp lets a line be.
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield _event(line)


async def _raise_unless_ok(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:  # noqa: PLR2004
        text = (await response.text())[:300]
        raise WatchRefusedError(f"{response.status} {text}", response.status)


def _event(line: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and object of one line of a watch."""
    try:
        event = json.loads(line)
        kind, found = str(event["type"]), event["object"]
        if kind != "ERROR":
            found["metadata"]["resourceVersion"]
    except (ValueError, TypeError, KeyError) as error:
        raise WatchRefusedError(f"no event of a watch: {line[:200]!r}") from error
    return kind, found


def _lean(found: dict[str, Any]) -> dict[str, Any]:
    """The object without its largest part, which nobody here reads."""
    found["metadata"].pop("managedFields", None)
    return found

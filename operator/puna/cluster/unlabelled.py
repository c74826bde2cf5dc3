"""Unlabelled objects: what holds names in a namespace without carrying Puna's label.

Watches show what carries the label. Before a child is created, this says whether its name is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final, TypeAlias

from puna.cluster.client import Client
from puna.cluster.resources import BY_KIND
from puna.core.naming import FIELD_MANAGER, MANAGED_BY
from puna.core.plan import Manifest

FRESH_SECONDS: Final = 2.0
_UNLABELLED: Final = f"{MANAGED_BY}!={FIELD_MANAGER}"

ByName: TypeAlias = dict[str, Manifest]
"""Metadata of objects by name."""


class Unlabelled:
    """Metadata of unlabelled objects by kind and namespace: one list for all who ask within 2 s."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reads: dict[tuple[str, str], tuple[float, asyncio.Task[ByName]]] = {}

    async def expect(self, namespace: str, kinds: Iterable[str]) -> None:
        """Send for what somebody is about to ask for, without waiting for it."""
        reads = [self._read(kind, namespace) for kind in kinds]
        if any(not read.done() for read in reads):
            await asyncio.sleep(0)  # the requests are on their way while the caller computes

    async def by_name(self, kind: str, namespace: str) -> ByName:
        """Return the unlabelled objects of a kind.

        Raises:
            ClusterError: they cannot be listed.
        """
        return await asyncio.shield(self._read(kind, namespace))

    def expire(self, kind: str, namespace: str) -> None:
        """Read again next time: what was read was wrong."""
        self._reads.pop((kind, namespace), None)

    def _read(self, kind: str, namespace: str) -> asyncio.Task[ByName]:
        """Return the newest read, or begin one."""
        now = time.monotonic()
        known = self._reads.get((kind, namespace))
        if known is None or now - known[0] > FRESH_SECONDS or _failed(known[1]):
            self._forget(now)
            known = self._reads[kind, namespace] = (
                now,
                asyncio.create_task(self._list(kind, namespace)),
            )
        return known[1]

    async def _list(self, kind: str, namespace: str) -> ByName:
        items = await self._client.metadata(BY_KIND[kind], namespace, label_selector=_UNLABELLED)
        return {item["metadata"]["name"]: item for item in items}

    def _forget(self, now: float) -> None:
        for key, (at, read) in list(self._reads.items()):
            if read.done() and now - at > FRESH_SECONDS:
                del self._reads[key]


def _failed(read: asyncio.Task[ByName]) -> bool:
    return read.done() and (read.cancelled() or read.exception() is not None)

"""Secrets by name, each with a watch of its own: so rights by `resourceNames` suffice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from puna_router.control.secret import Secret, from_manifest
from puna_router.control.watch import Watch

PATIENCE: Final = 2.0
"""Longest wait for the first answer about a Secret, in seconds; then it counts as unreadable."""


@dataclass(slots=True)
class _Followed:
    """One Secret that is named."""

    watch: Watch
    since: float
    version: str = ""
    secret: Secret | None = None


class SecretWatches:
    """Those Secrets of a namespace that documents name."""

    def __init__(self, make: Callable[[str], Watch], changed: Callable[[], None]) -> None:
        """Make watches by `make`; `changed` is called when a wait for an answer has been too long.

        A watch calls by itself when something changes.
        """
        self._make = make
        self._changed = changed
        self._followed: dict[str, _Followed] = {}
        self._renamed = asyncio.Event()

    @property
    def restarts(self) -> int:
        """Times that a watch had to start anew."""
        return sum(followed.watch.restarts for followed in self._followed.values())

    def follow(self, names: frozenset[str]) -> dict[str, Secret]:
        """Follow these and no others; return what is known of them.

        A Secret is left out until the API server has said something about it. One that is
        unchanged is the same object as before.
        """
        loop = asyncio.get_running_loop()
        if names != self._followed.keys():
            for name in names - self._followed.keys():
                self._followed[name] = _Followed(self._make(name), loop.time())
                loop.call_later(PATIENCE, self._changed)
            for name in self._followed.keys() - names:
                del self._followed[name]
            self._renamed.set()
        known = {
            name: _current(name, followed, loop.time())
            for name, followed in sorted(self._followed.items())
        }
        return {name: secret for name, secret in known.items() if secret is not None}

    async def run(self) -> None:
        """Watch until cancelled."""
        tasks: dict[Watch, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = {followed.watch for followed in self._followed.values()}
                for watch in tasks.keys() - wanted:
                    tasks.pop(watch).cancel()
                for watch in wanted - tasks.keys():
                    tasks[watch] = group.create_task(watch.run())
                await self._renamed.wait()
                self._renamed.clear()


def _current(name: str, followed: _Followed, now: float) -> Secret | None:
    watch = followed.watch
    if watch.refused is not None:
        return Secret(name, problem=f"Secret {name} cannot be read: {watch.refused}")
    if not watch.listed.is_set():
        if now - followed.since < PATIENCE:
            return None
        return Secret(name, problem=f"Secret {name} cannot be read: no answer yet")
    found = watch.objects()
    if not found:
        return Secret(name, problem=f"there is no Secret {name}")
    version = found[0]["metadata"]["resourceVersion"]
    if followed.secret is None or followed.version != version:
        followed.secret, followed.version = from_manifest(found[0]), version
    return followed.secret

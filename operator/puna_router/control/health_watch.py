"""Envoy's view of its hosts, by what it writes about them and by looks at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from puna_router.control.admin import Admin, AdminError, host_states
from puna_router.control.event_file import EventFile
from puna_router.control.health import HealthView, HostKey, parse_event

SOON: Final = (0.01, 0.03, 0.1, 0.3)
"""Times from one look to the next while there are hosts that nothing is known of, in seconds."""
SELDOM: Final = 30.0
"""Time between two looks otherwise, in seconds: the events say everything, as a rule."""


class HealthWatch:
    """Knows which hosts Envoy sends requests to.

    Envoy appends a line to a file whenever that changes for a host, so nothing is asked while
    nothing changes, however many hosts there are.
    """

    def __init__(self, admin: Admin, events: Path, changed: Callable[[], None]) -> None:
        self._admin = admin
        self._events = EventFile(events)
        self._changed = changed
        self._hosts: frozenset[HostKey] = frozenset()
        self._unsure = asyncio.Event()
        self._view = HealthView()

    @property
    def usable(self) -> frozenset[HostKey]:
        """Hosts that Envoy sends requests to."""
        return self._view.usable()

    @property
    def known(self) -> frozenset[HostKey]:
        """Hosts that Envoy has checked."""
        return self._view.known()

    def follow(self, hosts: frozenset[HostKey]) -> None:
        """Follow these hosts and no others."""
        self._hosts = hosts
        self._view.keep(hosts)
        if hosts - self.known:
            self._unsure.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run(self._take, self._unsure.set))
            group.create_task(self._look_again())

    async def look(self) -> None:
        """Look at all hosts; without an Envoy everything stays as it is."""
        try:
            states = host_states(await self._admin.clusters())
        except AdminError:
            return
        hosts = {host: health for host, health in states.items() if health is not None}
        if self._view.replace(hosts):
            self._changed()

    async def _look_again(self) -> None:
        while True:
            self._unsure.clear()
            for pause in SOON:
                await asyncio.sleep(pause)
                await self.look()
                if not self._hosts - self.known:
                    break
            try:
                async with asyncio.timeout(SELDOM):
                    await self._unsure.wait()
            except TimeoutError:
                pass

    def _take(self, lines: list[str]) -> None:
        events = [event for event in map(parse_event, lines) if event is not None]
        if self._view.apply(events):
            self._changed()

"""Publication of a snapshot: files and hosts in an order in which no request finds a gap.

What is new comes before the routes that need it, what goes leaves after the routes that needed it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from puna_router.control.admin import Admin, AdminError
from puna_router.control.clusters import load_assignment
from puna_router.control.files import Layout, write
from puna_router.control.hosts.service import HostsService
from puna_router.control.keys.limits import LIMITS_FILTER
from puna_router.control.listener import LISTENER, ROUTES
from puna_router.control.picker_client import picker_state
from puna_router.control.select_filter import SELECT_FILTER, closes
from puna_router.control.snapshot import Snapshot, discovery_response
from puna_router.control.world import Resource
from puna_router.picker.follow import version_of

STEP_TIMEOUT: Final = 1.0
"""Longest wait for Envoy between two steps, in seconds; then the next is taken all the same."""
ACKNOWLEDGE_TIMEOUT: Final = 2.0
OFFER_PACE: Final = 1.0
"""Time between two offers of a listener that Envoy refused, in seconds."""

_VERSIONS: Final = (
    r"^(cluster_manager|listener_manager|http|extension_config_discovery)\."
    r".*(version_text|update_rejected|warming_clusters)$"
)
PAUSES: Final = (0.003, 0.05)
"""First and longest time between two looks at what Envoy runs, in seconds."""
_LDS_REJECTED: Final = "listener_manager.lds.update_rejected"
_RDS: Final = f"http.{LISTENER}.rds.{ROUTES}"

_VERSION_OF: Final = {
    "cds": "cluster_manager.cds.version_text",
    "lds": "listener_manager.lds.version_text",
    "rds": f"{_RDS}.version_text",
    "select": f"extension_config_discovery.http_filter.{SELECT_FILTER}.version_text",
    "limits": f"extension_config_discovery.http_filter.{LIMITS_FILTER}.version_text",
}
"""The stat that tells which version of a file Envoy runs."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What Envoy made of what was published."""

    complete: bool
    """It runs every resource in the version on disk."""
    rejected: tuple[str, ...] = ()
    """What it found wrong, in its own words."""
    listener_refused: bool = False
    """That was the listener, which depends on no document: its port is taken, as a rule."""


@dataclass(slots=True)
class Publisher:
    """Owner of what Envoy is told: the xDS files of one router, and hosts."""

    layout: Layout
    admin: Admin
    hosts: HostsService
    picker: Path
    """UNIX socket of the picker's account of itself."""
    writes: int = 0
    """Files written so far."""
    _expected: dict[str, str] = field(default_factory=dict)
    """Versions on disk."""
    _rejections: dict[str, int] = field(default_factory=dict)
    """Counters of refused updates as they were seen last."""
    _settled: bool = False
    """Envoy runs everything that was published, so that no refusal of it is to come."""
    _clusters: Mapping[str, Resource] | None = None
    """Clusters in the CDS file."""
    _last: Snapshot | None = None
    _offered: float = 0.0
    """When Envoy was last made to read its listener anew, by the event loop's clock."""

    async def publish(self, snapshot: Snapshot) -> Acknowledgement:
        """Bring the files to the snapshot; files that hold it already are left alone."""
        if not self._settled:
            self._rejections = _rejections(await self._stats())
        self._settled = False
        present = self._present_clusters()
        new = snapshot.hosts.keys() - present.keys()
        # A cluster that waits for its hosts' first checks would keep the others waiting.
        self.hosts.put({name: load_assignment(name, ()) for name in new})
        if new or self._cds_gains(snapshot.clusters):
            self._write_clusters({**self._present_clusters(), **snapshot.clusters})
            await self._until(f"clusters {sorted(new)}", _settled(self._expected["cds"]))
        emptied = [name for name, hosts in snapshot.hosts.items() if not hosts["endpoints"]]
        self.hosts.put(
            {name: hosts for name, hosts in snapshot.hosts.items() if name not in emptied}
        )
        last, self._last = self._last, snapshot
        if last is None or last.limits is not snapshot.limits:
            self._write("limits", LIMITS_FILTER, [snapshot.limits])
        routes_changed = await self._publish_routes(snapshot, last)
        if last is None or _listeners(last) != _listeners(snapshot):
            self._write("lds", "lds", _listeners(snapshot))
        gone = present.keys() - snapshot.clusters.keys()
        if routes_changed and (gone or emptied):
            await self._until("routes", self._runs("rds"))
        if gone or any(_has_hosts(last, name) for name in emptied):
            await self._until_picked_anew()
        self.hosts.put({name: snapshot.hosts[name] for name in emptied})
        if gone or self._clusters is not snapshot.clusters:
            self._write_clusters(snapshot.clusters)
        self.hosts.keep(snapshot.hosts)
        return await self.acknowledged()

    async def _publish_routes(self, snapshot: Snapshot, last: Snapshot | None) -> bool:
        """Write routes and the filter that selects among them; whether the routes changed."""
        first = last is not None and closes(last.table, snapshot.table)
        news = last is None or last.select is not snapshot.select
        if news and first and self._write("select", SELECT_FILTER, [snapshot.select]):
            await self._until("the selecting filter", self._runs("select"))
        changed = last is None or last.routes is not snapshot.routes
        changed = changed and self._write("rds", ROUTES, [snapshot.routes])
        if news and not first:
            if changed:
                await self._until("routes", self._runs("rds"))
            self._write("select", SELECT_FILTER, [snapshot.select])
        return changed

    def _runs(self, kind: str) -> Callable[[dict[str, str]], bool]:
        """Whether Envoy runs what was written last."""
        version = self._expected[kind]
        return lambda stats: stats.get(_VERSION_OF[kind]) == version

    async def acknowledged(self, timeout: float = ACKNOWLEDGE_TIMEOUT) -> Acknowledgement:
        """Wait until Envoy runs what is on disk, or has refused it, or the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout
        pause = PAUSES[0]
        while True:
            stats = await self._stats()
            complete = bool(stats) and all(
                stats.get(_VERSION_OF[kind]) == version for kind, version in self._expected.items()
            )
            if complete and self.hosts.taken():
                self._rejections, self._settled = _rejections(stats), True
                return Acknowledgement(complete=True)
            if self._listener_refused(stats):
                details = await self._error_details()
                self._offer_listener_again()
                return Acknowledgement(complete=False, rejected=details, listener_refused=True)
            refusals = self.hosts.refusals()
            if refusals or self._news(_rejections(stats)):
                details = refusals or await self._error_details()
                return Acknowledgement(complete=False, rejected=details)
            if not stats or asyncio.get_running_loop().time() > deadline:
                return Acknowledgement(complete=False)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PAUSES[1])

    def _listener_refused(self, stats: dict[str, str]) -> bool:
        """Whether Envoy has tried a listener and does not run this one."""
        version = stats.get(_VERSION_OF["lds"])
        return int(stats.get(_LDS_REJECTED, "0")) > 0 and version != self._expected["lds"]

    def _news(self, rejections: dict[str, int]) -> bool:
        """Whether Envoy has refused anything but its listener since this was asked last."""
        before, self._rejections = self._rejections, rejections
        return any(
            count > before.get(name, 0)
            for name, count in rejections.items()
            if name != _LDS_REJECTED
        )

    def _offer_listener_again(self) -> None:
        """Have Envoy read its listener anew, in case what hindered it has passed."""
        now = asyncio.get_running_loop().time()
        if now < self._offered + OFFER_PACE:
            return
        self._offered = now
        path = self.layout.resource("lds", "lds")
        copy = path.with_suffix(".unfinished")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)

    def _write_clusters(self, clusters: Mapping[str, Resource]) -> None:
        self._clusters = clusters
        self._write("cds", "cds", list(clusters.values()))

    def _write(self, kind: str, name: str, resources: list[Resource]) -> bool:
        text, version = discovery_response(resources)
        if self._expected.get(kind) == version:
            return False
        self._expected[kind] = version
        changed = write(self.layout.resource(kind, name), text)
        self.writes += changed
        return changed

    def _present_clusters(self) -> Mapping[str, Resource]:
        if self._clusters is None:
            self._clusters = read_clusters(self.layout.resource("cds", "cds"))
        return self._clusters

    def _cds_gains(self, clusters: Mapping[str, Resource]) -> bool:
        present = self._present_clusters()
        if present is clusters:
            return False
        return any(present.get(name) != cluster for name, cluster in clusters.items())

    async def _until(self, what: str, reached: Callable[[dict[str, str]], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + STEP_TIMEOUT
        pause = PAUSES[0]
        while stats := await self._stats():
            if reached(stats):
                return
            if asyncio.get_running_loop().time() > deadline:
                logger.warning(f"Envoy did not take {what} within {STEP_TIMEOUT} s")
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PAUSES[1])

    async def _until_picked_anew(self) -> None:
        """Wait until the picker follows the newest document, and sends nothing to old clusters.

        One that has ended sends nothing anywhere, and one that refuses the document never will. One
        that was killed is waited for as one that hangs is: what is to act soon, the routes, is in
        force already.
        """
        if not (self.layout.picker.exists() and self.picker.exists()):
            return
        version = version_of(self.layout.picker.read_bytes())
        deadline = asyncio.get_running_loop().time() + STEP_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            state = await picker_state(self.picker)
            if state is not None and (state.version == version or state.problem is not None):
                return
            await asyncio.sleep(PAUSES[1])
        logger.warning(f"the picker did not take its document within {STEP_TIMEOUT} s")

    async def _stats(self) -> dict[str, str]:
        """Versions and counters; empty while Envoy does not answer."""
        try:
            return await self.admin.stats(_VERSIONS)
        except AdminError as error:
            logger.debug(f"Envoy's admin interface: {error}")
            return {}

    async def _error_details(self) -> tuple[str, ...]:
        try:
            return tuple(await self.admin.error_details()) or ("refused without a reason",)
        except AdminError as error:
            return (str(error),)


def _has_hosts(snapshot: Snapshot | None, cluster: str) -> bool:
    hosts = None if snapshot is None else snapshot.hosts.get(cluster)
    return hosts is not None and bool(hosts["endpoints"])


def _listeners(snapshot: Snapshot) -> list[Resource]:
    shadow = [] if snapshot.shadow is None else [snapshot.shadow]
    return [snapshot.listener, *shadow]


def read_clusters(path: Path) -> dict[str, Resource]:
    """Clusters in a CDS file, by name."""
    if not path.exists():
        return {}
    resources = json.loads(path.read_text("utf-8"))["resources"]
    return {resource["name"]: resource for resource in resources}


def _settled(version: str) -> Callable[[dict[str, str]], bool]:
    def reached(stats: dict[str, str]) -> bool:
        return (
            stats.get("cluster_manager.cds.version_text") == version
            and stats.get("cluster_manager.warming_clusters") == "0"
        )

    return reached


def _rejections(stats: dict[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in stats.items() if name.endswith("update_rejected")}

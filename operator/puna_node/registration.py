"""Keeping the Node object true: registration, lease, status."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from puna_node.api import NOT_FOUND, Api, ApiError, ApiUnreachableError
from puna_node.config import AgentConfig
from puna_node.host import HostFacts, host_pressure
from puna_node.manifest import Manifest
from puna_node.node import (
    LEASE_FACTOR,
    lease_manifest,
    node_labels,
    node_manifest,
    node_status,
    with_times,
)

LOG: Final = logging.getLogger(__name__)
HEARTBEAT_SECONDS: Final = 60.0
PRESSURE_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
STALE_SECONDS: Final = 60.0


class Registration:
    """The Node of this host. A Node that somebody deleted is registered again."""

    def __init__(
        self, api: Api, config: AgentConfig, host: HostFacts, *, address: str, port: int
    ) -> None:
        self._api, self._config, self._host = api, config, host
        self._address, self._port = address, port
        self._directory = Path(config.directory)
        self._version = ""
        self._uid = ""
        self._conditions: list[Manifest] = []
        self._renewed_at = time.monotonic()

    def is_alive(self) -> bool:
        """Whether the lease was renewed lately: the node is what the cluster thinks it is."""
        allowed = max(STALE_SECONDS, self._config.lease_seconds * LEASE_FACTOR)
        return time.monotonic() - self._renewed_at < allowed

    async def register(self, version: str) -> None:
        """Create or update the Node and report its first status."""
        self._version = version
        manifest = node_manifest(self._config, self._host)
        name = self._config.node_name
        try:
            node = await self._api.create_node(manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            labels = {"metadata": {"labels": node_labels(self._config, self._host)}}
            node = await self._api.patch_node(name, labels, status=False)
        self._uid = node["metadata"]["uid"]
        self._conditions = (node.get("status") or {}).get("conditions") or []
        await self._api.put_lease(self._lease())
        await self.report()

    async def report(self, *, ready: bool = True) -> None:
        """Write the whole status."""
        status = self._status(ready=ready)
        status["conditions"] = with_times(status["conditions"], self._conditions, datetime.now(UTC))
        status["addresses"] = [{"$patch": "replace"}, *status["addresses"]]
        patch = {"status": status}
        node = await self._api.patch_node(self._config.node_name, patch, status=True)
        self._conditions = node["status"]["conditions"]

    async def keep_lease(self) -> None:
        """Renew the lease, for ever."""
        while True:
            delay = self._config.lease_seconds
            try:
                await self._api.put_lease(self._lease())
                self._renewed_at = time.monotonic()
            except (ApiError, ApiUnreachableError) as error:
                LOG.warning("lease not renewed: %s", error)
                delay = min(delay, RETRY_SECONDS)
            await asyncio.sleep(delay)

    async def keep_status(self) -> None:
        """Report the status when it changes and every minute, for ever.

        In between it looks whether the Node object is still there.
        """
        loop = asyncio.get_running_loop()
        reported, reported_at = self._status(), loop.time()
        while True:
            await asyncio.sleep(PRESSURE_SECONDS)
            status = self._status()
            is_due = status != reported or loop.time() - reported_at >= HEARTBEAT_SECONDS
            try:
                await self._keep_registered(report=is_due)
            except (ApiError, ApiUnreachableError) as error:
                LOG.warning("node status not reported: %s", error)
                continue
            if is_due:
                reported, reported_at = status, loop.time()

    async def _keep_registered(self, *, report: bool) -> None:
        try:
            if report:
                await self.report()
            else:
                await self._api.get_node(self._config.node_name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            LOG.warning("the Node object is gone, registering again")
            await self.register(self._version)

    def _status(self, *, ready: bool = True) -> Manifest:
        return node_status(
            self._config,
            self._host,
            host_pressure(self._directory),
            address=self._address,
            port=self._port,
            version=self._version,
            agent_version=metadata.version("puna"),
            ready=ready,
        )

    def _lease(self) -> Manifest:
        return lease_manifest(self._config, node_uid=self._uid, now=datetime.now(UTC))

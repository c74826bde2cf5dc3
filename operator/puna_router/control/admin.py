"""Envoy's admin interface, over its UNIX socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from puna_router.control.health import HostHealth, HostKey
from puna_router.control.unix_http import UnreachableError, request


class AdminError(Exception):
    """Envoy does not answer: it is not running, starting or ending."""


class Admin:
    """Requests to one Envoy."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def get(self, path: str) -> str:
        """Body of a GET.

        Raises:
            AdminError: Envoy does not answer, or not with 200.
        """
        return await self._request("GET", path)

    async def post(self, path: str) -> str:
        """Body of a POST.

        Raises:
            AdminError: Envoy does not answer, or not with 200.
        """
        return await self._request("POST", path)

    async def stats(self, pattern: str) -> dict[str, str]:
        """Stats whose name matches, by name; texts are without their quotes."""
        return dict(_parse_stats(await self.get(f"/stats?filter={pattern}")))

    async def clusters(self) -> Any:
        """Clusters with the state of their hosts."""
        return json.loads(await self.get("/clusters?format=json"))

    async def error_details(self) -> list[str]:
        """What Envoy found wrong with resources that it refused."""
        return list(_error_details(json.loads(await self.get("/config_dump?include_eds"))))

    async def _request(self, method: str, path: str) -> str:
        try:
            status, body = await request(self._socket, method, path)
        except UnreachableError as error:
            raise AdminError(f"{method} {path}: {error}") from error
        if status != HTTPStatus.OK:
            raise AdminError(f"{method} {path}: {status} {body[:200]!r}")
        return body


def _parse_stats(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, separator, value = line.partition(": ")
        if separator:
            yield name, value.strip('"')


def _error_details(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "error_state" in node:
            yield str(node["error_state"].get("details", ""))
        for value in node.values():
            yield from _error_details(value)
    elif isinstance(node, list):
        for value in node:
            yield from _error_details(value)


def host_states(clusters: Any) -> dict[HostKey, HostHealth | None]:
    """Health of each host; None while Envoy has not checked it yet."""
    states: dict[HostKey, HostHealth | None] = {}
    for cluster in clusters.get("cluster_statuses", []):
        for host in cluster.get("host_statuses", []):
            address = host["address"].get("socket_address")
            if address is not None:
                key = (cluster["name"], address["address"], int(address["port_value"]))
                states[key] = _health(host.get("health_status", {}))
    return states


def _health(health: dict[str, Any]) -> HostHealth | None:
    if health.get("pending_active_hc", False):
        return None
    wanted = health.get("eds_health_status", "HEALTHY") in {"HEALTHY", "UNKNOWN"}
    return HostHealth(
        passes=wanted and not health.get("failed_active_health_check", False),
        ejected=health.get("failed_outlier_check", False),
    )

"""Envoy's admin interface, over its UNIX socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from puna_router.control.world import HealthyHosts

TIMEOUT: Final = 5.0
"""Longest answer, in seconds."""


class AdminError(Exception):
    """Envoy does not answer: it is not running, starting or ending."""


class Admin:
    """Requests to one Envoy. Speaks HTTP by hand: it is also what a short-lived drain uses."""

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
            async with asyncio.timeout(TIMEOUT):
                return await self._exchange(method, path)
        except (OSError, EOFError, TimeoutError) as error:
            raise AdminError(f"{method} {path}: {error!r}") from error

    async def _exchange(self, method: str, path: str) -> str:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(
                f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n"
                "content-length: 0\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            body = await _read_body(reader, chunked="transfer-encoding: chunked" in head)
        finally:
            writer.close()
        status = head.split(" ", 2)[1]
        if status != "200":
            raise AdminError(f"{method} {path}: {status} {body[:200]!r}")
        return body.decode(errors="replace")


async def _read_body(reader: asyncio.StreamReader, *, chunked: bool) -> bytes:
    if not chunked:
        return await reader.read()
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(parts)


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


def host_states(clusters: Any) -> dict[tuple[str, str, int], bool]:
    """Cluster, address and port of each host, with whether Envoy sends to it."""
    states = {}
    for cluster in clusters.get("cluster_statuses", []):
        for host in cluster.get("host_statuses", []):
            address = host["address"].get("socket_address")
            if address is not None:
                key = (cluster["name"], address["address"], int(address["port_value"]))
                states[key] = _is_usable(host.get("health_status", {}))
    return states


def healthy_hosts(states: dict[tuple[str, str, int], bool]) -> HealthyHosts:
    """The hosts that Envoy sends to."""
    return frozenset(host for host, usable in states.items() if usable)


def _is_usable(health: dict[str, Any]) -> bool:
    return (
        health.get("eds_health_status", "HEALTHY") in {"HEALTHY", "UNKNOWN"}
        and not health.get("failed_active_health_check", False)
        and not health.get("failed_outlier_check", False)
        and not health.get("pending_active_hc", False)
    )

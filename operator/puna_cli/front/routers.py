"""Which router Pods take requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from puna_router.config import CLIENT_PORT

ROUTER_SELECTOR: Final = "app.kubernetes.io/component=router,app.kubernetes.io/managed-by=puna"
PORT_NAME: Final = "http"


@dataclass(frozen=True, slots=True, order=True)
class RouterAddress:
    """Where one router listens for clients."""

    address: str
    port: int


def ready_routers(pods: Iterable[Mapping[str, Any]]) -> dict[str, tuple[RouterAddress, ...]]:
    """Addresses of the ready routers by namespace; a Pod that is being deleted is out at once."""
    found: dict[str, list[RouterAddress]] = {}
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        addresses = found.setdefault(metadata["namespace"], [])
        if metadata.get("deletionTimestamp") or not status.get("podIP"):
            continue
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        if conditions.get("Ready") == "True":
            addresses.append(RouterAddress(status["podIP"], _client_port(pod)))
    return {namespace: tuple(sorted(addresses)) for namespace, addresses in found.items()}


def _client_port(pod: Mapping[str, Any]) -> int:
    ports = (port for c in pod["spec"]["containers"] for port in c.get("ports", []))
    named = (int(port["containerPort"]) for port in ports if port.get("name") == PORT_NAME)
    return next(named, CLIENT_PORT)

"""Pods as backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from puna_router.config import (
    LABEL_ENDPOINT,
    LABEL_POOL,
    LABEL_PROCESS,
    Backend,
)


def address(pod: Mapping[str, Any]) -> str | None:
    """Address of a Pod that may get requests: Ready, with an address, and not being deleted."""
    status = pod.get("status", {})
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions", ())
    )
    if not ready or pod["metadata"].get("deletionTimestamp") is not None:
        return None
    found: str | None = status.get("podIP")
    return found or None


def backends(
    pods: Iterable[Mapping[str, Any]], ports: Mapping[str, int]
) -> dict[str, tuple[Backend, ...]]:
    """Backends by endpoint; `ports` holds the port of each endpoint that is served."""
    found: dict[str, list[Backend]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        endpoint, process = labels.get(LABEL_ENDPOINT), labels.get(LABEL_PROCESS)
        where = address(pod)
        if endpoint not in ports or process is None or where is None:
            continue
        backend = Backend(
            address=where,
            port=ports[endpoint],
            process=process,
            pod=pod["metadata"]["name"],
            pool=labels.get(LABEL_POOL),
        )
        found.setdefault(endpoint, []).append(backend)
    return {name: tuple(sorted(hosts, key=_order)) for name, hosts in sorted(found.items())}


def _order(backend: Backend) -> tuple[str, int]:
    return backend.address, backend.port

"""`GET /endpoints/<name>/status`: what clients of an endpoint may know of how it is served."""

from __future__ import annotations

import json
from typing import Any

from puna_router.control.catalogue import model_names
from puna_router.control.health import HostKey
from puna_router.control.shares import Shares
from puna_router.control.world import Host, Served, cluster_name
from puna_router.picker.state import EndpointState


def status_page(
    served: Served, chosen: Shares, usable: frozenset[HostKey], picked: EndpointState | None
) -> str:
    """The page as JSON: no addresses, no Secrets.

    `chosen` are the revisions that get requests, `usable` the hosts that Envoy sends to; `picked`
    is what the picker says of the endpoint, None while it is away.
    """
    config = served.config
    document: dict[str, Any] = {
        "name": config.name,
        "models": list(model_names(config)),
        "routing": _routing(served),
        "revisions": _revisions(served, chosen),
        "backends": _backends(served, usable, picked),
        "queue": None if picked is None else {"depth": picked.depth, "maxDepth": picked.max_depth},
    }
    if config.access is not None:
        document["access"] = {
            "requestsPerMinute": config.access.requests_per_minute,
            "burst": config.access.burst,
        }
    return json.dumps(document, separators=(",", ":"))


def _routing(served: Served) -> dict[str, Any]:
    """Routing values in force, whoever has set them."""
    names = {
        "strategy", "queue", "stickiness", "health_check",
        "retries", "idle_timeout_seconds", "keep_alive_seconds",
    }  # fmt: skip
    return served.config.model_dump(mode="json", by_alias=True, include=names)


def _revisions(served: Served, chosen: Shares) -> list[dict[str, Any]]:
    total = sum(weight for _, weight in chosen)
    parts = {revision.name: 100 * weight / total for revision, weight in chosen}
    return [
        {
            "name": revision.name,
            "weight": revision.weight,
            # One without a usable server counts as 0, and the others get its requests.
            "percent": round(parts.get(revision.name, 0.0), 1),
        }
        for revision in served.config.revisions
    ]


def _backends(
    served: Served, usable: frozenset[HostKey], picked: EndpointState | None
) -> list[dict[str, Any]]:
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for revision in served.revisions:
        cluster = cluster_name(served.config.name, revision.name)
        for host in served.hosts(revision):
            entry = found.setdefault((host.address, host.port), _backend(host, picked))
            entry["revisions"].append(revision.name)
            entry["healthy"] = entry["healthy"] or host.key(cluster) in usable
    return list(found.values())


def _backend(host: Host, picked: EndpointState | None) -> dict[str, Any]:
    state = picked.hosts.get(host.joined) if picked is not None else None
    told = {"name": host.name, "pool": host.pool}
    return {
        **{key: value for key, value in told.items() if value is not None},
        "external": host.external is not None,
        "priority": host.priority,
        "slots": host.slots,
        "busy": None if state is None else state.in_flight,
        "healthy": False,
        "revisions": [],
    }

"""All resources that Envoy runs at one moment, rendered from a world."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from puna_router.config import EndpointConfig
from puna_router.control.clusters import (
    SHADOW_SOCKET,
    cluster,
    control,
    load_assignment,
    no_backends,
    picker,
    shadow,
)
from puna_router.control.external import ExternalServer
from puna_router.control.keys.limits import LIMITS_FILTER, limits
from puna_router.control.keys.ring import KeyRing
from puna_router.control.listener import ROUTES, listener
from puna_router.control.routes import route_configuration
from puna_router.control.select_filter import SELECT_FILTER, looked_up, select_filter
from puna_router.control.shadow import shadow_listener
from puna_router.control.shares import Shares, shares
from puna_router.control.world import (
    CONTROL_SOCKET,
    HEALTH_EVENTS,
    Resource,
    Served,
    Site,
    World,
    cluster_name,
    shadowed,
)
from puna_router.picker.config import SOCKET

_HOSTS: Final[Resource] = {
    "type": "EDS",
    "eds_cluster_config": {
        "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"}
    },
}
"""Where a cluster has its hosts from: the one call that the bootstrap document names."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Resources by what they are; equal worlds give equal snapshots."""

    listener: Resource
    routes: Resource
    limits: Resource
    """Configuration of the filter that counts requests."""
    select: Resource
    """Configuration of the filter that selects the virtual host."""
    table: Mapping[str, str]
    """What that filter looks things up in."""
    shadow: Resource | None = None
    """Listener for copies of requests, if any are made."""
    clusters: dict[str, Resource] = field(default_factory=dict)
    hosts: dict[str, Resource] = field(default_factory=dict)
    """Hosts by cluster name."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A snapshot and what it was rendered from."""

    snapshot: Snapshot
    configs: tuple[EndpointConfig, ...]
    servers: tuple[tuple[ExternalServer, ...], ...]
    """External servers of each endpoint."""
    shares: tuple[Shares, ...]
    api_key: str | None
    keys: Mapping[str, KeyRing]
    routers: int


def render(world: World, site: Site, previous: Rendered | None = None) -> Rendered:
    """Render everything; what depends on nothing that changed is taken over from `previous`.

    A Pod that comes or goes changes the hosts of one endpoint, and should cost no more among five
    hundred endpoints than alone.

    Raises:
        ValueError: A document holds a value that has no JSON form.
    """
    configs = tuple(served.config for served in world.endpoints)
    servers = tuple(_servers(served) for served in world.endpoints)
    same = previous is not None and _identical(configs, previous.configs)
    split = tuple(shares(served, world.healthy) for served in world.endpoints)
    if previous is not None and same and servers == previous.servers:
        clusters = previous.snapshot.clusters
    else:
        clusters = _clusters(world, site)
    same_keys = (
        same
        and previous is not None
        and ((world.keys, world.routers) == (previous.keys, previous.routers))
    )
    if previous is not None and same_keys:
        limited = previous.snapshot.limits
    else:
        limited = _extension(LIMITS_FILTER, limits(configs, world.keys, world.routers))
    if (
        previous is not None
        and same_keys
        and (split, world.api_key) == (previous.shares, previous.api_key)
    ):
        routes = previous.snapshot.routes
    else:
        routes = route_configuration(world)
    table = looked_up(world, site.namespace)
    if previous is not None and table == previous.snapshot.table:
        select = previous.snapshot.select
    else:
        select = _extension(SELECT_FILTER, select_filter(table))
    known = (
        previous.snapshot.listener
        if previous
        else listener(
            site,
            {"rds": _rds(site)},
            _filter_source(site, "select", SELECT_FILTER, select),
            _filter_source(site, "limits", LIMITS_FILTER, limited),
        )
    )
    hosts = {
        cluster_name(served.config.name, revision.name): load_assignment(
            cluster_name(served.config.name, revision.name),
            served.hosts(revision),
            world.api_key if served.config.external else None,
        )
        for served in world.endpoints
        for revision in served.revisions
    }
    snapshot = Snapshot(
        listener=known,
        routes=routes,
        limits=limited,
        select=select,
        table=table,
        shadow=_shadow(world, site, previous),
        clusters=clusters,
        hosts=hosts,
    )
    return Rendered(snapshot, configs, servers, split, world.api_key, world.keys, world.routers)


def discovery_response(resources: list[Resource]) -> tuple[str, str]:
    """Text of an xDS file, and its version, which is a hash of the resources."""
    text = json.dumps(resources, separators=(",", ":"), sort_keys=True)
    version = sha256(text.encode()).hexdigest()[:16]
    return f'{{"version_info":"{version}","resources":{text}}}', version


def file_source(site: Site, kind: str, name: str) -> Resource:
    """Where Envoy finds the resources of one file, and the folder whose renames it watches."""
    folder = f"{site.directory}/{kind}"
    path = {"path": f"{folder}/{name}.json", "watched_directory": {"path": folder}}
    return {"resource_api_version": "V3", "path_config_source": path}


def _shadow(world: World, site: Site, previous: Rendered | None) -> Resource | None:
    if not any(shadowed(served.config) for served in world.endpoints):
        return None
    known = previous.snapshot.shadow if previous is not None else None
    socket = f"{site.socket_directory}/{SHADOW_SOCKET}"
    return known or shadow_listener(socket, {"rds": _rds(site)})


def _clusters(world: World, site: Site) -> dict[str, Resource]:
    fixed = (
        no_backends(),
        picker(f"{site.socket_directory}/{SOCKET}"),
        control(f"{site.socket_directory}/{CONTROL_SOCKET}"),
    )
    found = {resource["name"]: resource for resource in fixed}
    if any(shadowed(served.config) for served in world.endpoints):
        copies = shadow(f"{site.socket_directory}/{SHADOW_SOCKET}")
        found[copies["name"]] = copies
    for served in world.endpoints:
        for revision in served.revisions:
            name = cluster_name(served.config.name, revision.name)
            found[name] = cluster(
                served.config,
                revision.name,
                _HOSTS,
                events=f"{site.directory}/{HEALTH_EVENTS}",
                servers=_servers(served),
            )
    return found


def _servers(served: Served) -> tuple[ExternalServer, ...]:
    return tuple(dict.fromkeys(host.server for host in served.externals))


def _identical(configs: tuple[EndpointConfig, ...], others: tuple[EndpointConfig, ...]) -> bool:
    """Whether both are the very same documents, which a source keeps while they are unchanged."""
    return len(configs) == len(others) and all(map(operator.is_, configs, others))


def _rds(site: Site) -> Resource:
    return {"route_config_name": ROUTES, "config_source": file_source(site, "rds", ROUTES)}


def _filter_source(site: Site, kind: str, name: str, extension: Resource) -> Resource:
    return {
        "config_discovery": {
            "config_source": file_source(site, kind, name),
            "type_urls": [extension["typed_config"]["@type"]],
        }
    }


def _extension(name: str, config: Resource) -> Resource:
    return {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": config,
    }

"""All resources that Envoy runs at one moment, rendered from a world."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from puna_router.config import RevisionConfig
from puna_router.control.clusters import cluster, load_assignment, no_backends
from puna_router.control.listener import ROUTES, listener
from puna_router.control.routes import route_configuration
from puna_router.control.world import Resource, Served, Site, World, cluster_name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Resources by what they are; equal worlds give equal snapshots."""

    listener: Resource
    routes: Resource
    clusters: dict[str, Resource] = field(default_factory=dict)
    hosts: dict[str, Resource] = field(default_factory=dict)
    """Hosts by cluster name."""


def render(world: World, site: Site) -> Snapshot:
    """Render everything.

    Raises:
        ValueError: A document holds a value that has no JSON form.
    """
    clusters, hosts = {}, {}
    for served, revision in _revisions(world):
        name = cluster_name(served.config.name, revision.name)
        clusters[name] = cluster(served.config, revision.name, _eds(site, name))
        hosts[name] = load_assignment(name, served.hosts(revision))
    idle = no_backends()
    return Snapshot(
        listener=listener(site, {"rds": _rds(site)}),
        routes=route_configuration(world, site.namespace),
        clusters={**clusters, idle["name"]: idle},
        hosts=hosts,
    )


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


def _revisions(world: World) -> Iterator[tuple[Served, RevisionConfig]]:
    for served in world.endpoints:
        for revision in served.config.revisions:
            yield served, revision


def _rds(site: Site) -> Resource:
    return {"route_config_name": ROUTES, "config_source": file_source(site, "rds", ROUTES)}


def _eds(site: Site, name: str) -> Resource:
    return {"type": "EDS", "eds_cluster_config": {"eds_config": file_source(site, "eds", name)}}

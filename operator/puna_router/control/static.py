"""A static configuration of what a router would read from files: what Envoy can validate."""

from __future__ import annotations

from puna_router.config import EndpointConfig, QueueConfig
from puna_router.control.bootstrap import process
from puna_router.control.clusters import (
    cluster,
    control,
    load_assignment,
    no_backends,
    picker,
    shadow,
)
from puna_router.control.keys.limits import limits
from puna_router.control.listener import listener
from puna_router.control.routes import route_configuration
from puna_router.control.select_filter import looked_up, select_filter
from puna_router.control.shadow import shadow_listener
from puna_router.control.world import (
    Resource,
    Served,
    Site,
    World,
    cluster_name,
    revisions,
    shadowed,
)

_SOCKET = "/run/puna/any.sock"
_SITE = Site(directory="/run/puna", listen="127.0.0.1", port=8080)


def shape(config: EndpointConfig) -> EndpointConfig:
    """The document without what Envoy takes in any amount: what is alike is validated once."""
    alike = {"weight": 1, "slots": 1, "expected": 0}
    plain = tuple(revision.model_copy(update=alike) for revision in config.revisions)
    return config.model_copy(update={"revisions": plain, "queue": QueueConfig()})


def static_configuration(configs: tuple[EndpointConfig, ...]) -> Resource:
    """The resources of some endpoints in one document, without hosts.

    Raises:
        ValueError: A document holds a value that has no JSON form.
    """
    world = World(endpoints=tuple(Served(config) for config in configs), api_key="key")
    clusters = []
    for config in configs:
        for revision in revisions(config):
            name = cluster_name(config.name, revision.name)
            source = {"type": "STATIC", "load_assignment": _untyped(load_assignment(name, ()))}
            clusters.append(cluster(config, revision.name, source, events="/dev/null"))
    routes = _untyped(route_configuration(world))
    select = {"typed_config": select_filter(looked_up(world, "default"))}
    limited = {"typed_config": limits(configs, {}, 1)}
    listeners = [listener(_SITE, {"route_config": routes}, select, limited)]
    fixed = [no_backends(), picker(_SOCKET), control(_SOCKET)]
    if any(map(shadowed, configs)):
        listeners.append(shadow_listener(_SOCKET, {"route_config": routes}))
        fixed.append(shadow(_SOCKET))
    return {
        **process("/run/puna/admin.sock", "/dev/null"),
        "static_resources": {
            "listeners": [_untyped(resource) for resource in listeners],
            "clusters": [_untyped(resource) for resource in (*clusters, *fixed)],
        },
    }


def _untyped(resource: Resource) -> Resource:
    """The resource where its type is known by its place."""
    return {key: value for key, value in resource.items() if key != "@type"}

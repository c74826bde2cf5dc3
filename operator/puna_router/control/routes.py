"""Routes: one virtual host per model name, found by the header that the selecting filter sets.

A virtual host has one route, since which paths exist is the filter's to say; so a look-up costs the
same for one endpoint and for five hundred.
"""

from __future__ import annotations

from typing import Final

from puna_router.config import EndpointConfig, PresetConfig, RevisionConfig, Stickiness
from puna_router.control import catalogue
from puna_router.control.clusters import CONTROL, NO_BACKENDS
from puna_router.control.errors import METADATA
from puna_router.control.filters import (
    COUNTING_FILTER,
    GUARD,
    PICKING_FILTER,
    PINNING_FILTER,
    SPLICE_AND_GUARD,
    SPLICE_FILTER,
    TIMINGS_FILTER,
    USAGE_FILTER,
)
from puna_router.control.headers import CLIENT, CLUSTER, HIDDEN, SESSION, SLOTS, TARGET
from puna_router.control.listener import ROUTES
from puna_router.control.select_filter import SELECT_FILTER
from puna_router.control.shadow import shadow_target
from puna_router.control.shares import Shares, shares
from puna_router.control.splice import filter_context
from puna_router.control.world import Resource, Served, World, cluster_name, shadowed

DIRECT_RESPONSE_LIMIT: Final = 8 * 1024 * 1024
"""Largest model list, in bytes; Envoy's own limit is 4 KiB."""
COUNTED: Final = ".*/(completions?|infill|messages|responses|transcriptions|generate|stream)"
"""Paths, by how they end, whose requests take a slot, and whose answers hold token counts."""
USAGE: Final = ".*/(messages|responses)"
"""Those of them whose answers may hold their counts elsewhere than in `timings`."""
UNCOUNTED: Final = ".*/(embeddings?|rerank|reranking)"
"""Paths whose requests take a slot; their answers hold no token counts, and may be larger than what
is held to look for some."""
WAIT_MARGIN: Final = 10
"""How much longer than the longest wait a waiting request may be silent, in seconds."""
_COUNTING: Final = (COUNTING_FILTER, TIMINGS_FILTER, USAGE_FILTER)
_LUA: Final = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute"
_SPLICES_NOTHING: Final = {"@type": _LUA, "disabled": True}
_GUARDS: Final = {"@type": _LUA, "name": GUARD}
_UNCHECKED: Final = {
    "match": {"prefix": "/"},
    "direct_response": {
        "status": 503,
        "body": {"inline_string": "the request's API key was not checked"},
    },
}
PREVIOUS_HOSTS: Final = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/"
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


def route_configuration(world: World) -> Resource:
    """All routes of a router."""
    configs = [served.config for served in world.endpoints]
    hosts = [host for served in world.endpoints for host in endpoint_hosts(served, world)]
    configuration: Resource = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "vhost_header": TARGET,
        "max_direct_response_body_size_bytes": DIRECT_RESPONSE_LIMIT,
        "request_headers_to_remove": list(HIDDEN),
        "virtual_hosts": [*hosts, _own_pages(configs)],
    }
    if world.api_key is not None:
        configuration["request_headers_to_add"] = [
            {
                "header": {"key": "authorization", "value": f"Bearer {world.api_key}"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ]
    return configuration


def endpoint_hosts(served: Served, world: World) -> list[Resource]:
    """Virtual hosts of one endpoint: its own name, and its name with each preset."""
    config = served.config
    chosen = shares(served, world.healthy)
    plain = _host(config, config.name, chosen, None)
    page = _status(config.name)
    plain["routes"].insert(0, _admitted(page) if config.access else page)
    named = [(f"{config.name}:{name}", config.presets[name]) for name in sorted(config.presets)]
    hosts = [plain, *(_host(config, name, chosen, preset) for name, preset in named)]
    shadow = shadowed(config)
    if shadow is not None:
        copied = [(config.name, shadow.preset), *named]
        hosts += [_shadow_host(config, name, shadow, preset) for name, preset in copied]
    return hosts


def _shadow_host(
    config: EndpointConfig, name: str, revision: RevisionConfig, preset: PresetConfig
) -> Resource:
    """Where copies of the requests for one model name go; no client can name it.

    The counting filter is off on the first route that such a request meets, as for all others. No
    other server is tried, and each copy ends its connection: the server may end it first.
    """
    target = shadow_target(name)
    action: Resource = {"timeout": "0s", "cluster": cluster_name(config.name, revision.name)}
    uncounted = {"safe_regex": {"regex": UNCOUNTED}}
    routes = (
        _route(f"{target} uncounted", uncounted, action, config.idle_timeout_seconds)
        | _without(COUNTING_FILTER),
        _route(target, {"prefix": "/"}, action, config.idle_timeout_seconds),
    )
    ends = {"header": {"key": "connection", "value": "close"}}
    return {
        "name": target,
        "domains": [target],
        "typed_per_filter_config": _splice(preset, config),
        "request_headers_to_add": [{**ends, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        "routes": [route | _belongs(config.name) for route in routes],
    }


def _belongs(endpoint: str, spliced: Resource | None = None) -> Resource:
    """Metadata of a route: the endpoint that requests by it are logged and counted under.

    The route says it for nothing; a filter that told it would pay with every request. `spliced` is
    what the selecting filter splices.
    """
    told = {METADATA: {"endpoint": endpoint}, **({SELECT_FILTER: spliced} if spliced else {})}
    return {"metadata": {"filter_metadata": told}}


def _status(endpoint: str) -> Resource:
    """What clients may know of an endpoint; the control process answers."""
    action = {
        "cluster": CONTROL,
        "timeout": "5s",
        "prefix_rewrite": f"/endpoints/{endpoint}/status",
    }
    page = {"name": f"{endpoint} status", "match": {"path": "/status"}, "route": action}
    return page | _belongs(endpoint)


def _host(
    config: EndpointConfig,
    name: str,
    chosen: Shares,
    preset: PresetConfig | None,
) -> Resource:
    """One model name; `preset` takes the place of each revision's own."""
    action: Resource = {"timeout": "0s"}
    if config.external:
        # Of the host that is chosen; those of Puna have no name, and get the client's.
        action["auto_host_rewrite"] = True
    if config.retries:
        action["retry_policy"] = _retry_policy(config.retries)
    presets = [preset or revision.preset for revision, _ in chosen] or [preset or PresetConfig()]
    routes = [
        _moved(name, config, action),
        *_by_patience(name, config, action | _destination(config, chosen, presets)),
    ]
    if config.access:
        routes = [*map(_admitted, routes), _UNCHECKED]
    # The selecting filter has the body already, but does not know the revision. The other one holds
    # 2 KiB of each stream until its end, so it is off where no revision differs and none is copied.
    # A server outside the cluster is not trusted with Envoy's life.
    by_revision = any(one != presets[0] for one in presets) or any(
        _copied(config, revision) for revision, _ in chosen
    )
    context = filter_context(presets[0], config.keep_alive_seconds)
    belongs = _belongs(config.name, None if by_revision else context)
    return {
        "name": name,
        "domains": [name],
        "typed_per_filter_config": (
            _splice(presets[0], config)
            if by_revision
            else {SPLICE_FILTER: _GUARDS if config.external else _SPLICES_NOTHING}
        ),
        "routes": [route | belongs for route in routes],
    }


def _admitted(route: Resource) -> Resource:
    """The route for requests whose key was found good: none is taken that was not looked at."""
    match = route["match"]
    headers = [*match.get("headers", ()), {"name": CLIENT, "present_match": True}]
    return {**route, "match": {**match, "headers": headers}}


def _moved(name: str, config: EndpointConfig, action: Resource) -> Resource:
    """Where the picker sends a request whose revision has lost its last server while it waited.

    The route that it came by has been chosen from what was served then.
    """
    match = {"prefix": "/", "headers": [{"name": CLUSTER, "present_match": True}]}
    there = {"cluster_header": CLUSTER, **action}
    return _route(f"{name} moved", match, there, config.idle_timeout_seconds)


def _by_patience(name: str, config: EndpointConfig, action: Resource) -> list[Resource]:
    """The route, with the longest silence that it bears.

    A request that waits for a slot is silent too. Where it may wait for longer than a backend may
    be silent, it has a route of its own until it has been given one.
    """
    idle, wait = config.idle_timeout_seconds, config.queue.timeout_seconds + WAIT_MARGIN
    route = _route(name, {"prefix": "/"}, action, idle)
    if idle >= wait:
        return [route]
    waits = [
        {"name": SLOTS, "present_match": True},
        {"name": SESSION, "present_match": True, "invert_match": True},
    ]
    match = {"prefix": "/", "headers": waits}
    return [_route(f"{name} waiting", match, action, wait), route]


def _route(name: str, match: Resource, action: Resource, idle: int) -> Resource:
    return {"name": name, "match": match, "route": {**action, "idle_timeout": f"{idle}s"}}


def _destination(config: EndpointConfig, chosen: Shares, presets: list[PresetConfig]) -> Resource:
    """Revisions by their weights; what is spliced differs where their presets do."""
    if not chosen:
        return {"cluster": NO_BACKENDS}
    members: list[Resource] = []
    for (revision, weight), preset in zip(chosen, presets, strict=True):
        member: Resource = {"name": cluster_name(config.name, revision.name), "weight": weight}
        copied = _copied(config, revision)
        if preset != presets[0] or copied:
            member["typed_per_filter_config"] = _splice(preset, config, copied)
        members.append(member)
    if config.stickiness is Stickiness.KEY:
        return {
            "weighted_clusters": {"clusters": members, "use_hash_policy": True},
            "hash_policy": [{"header": {"header_name": CLIENT}}],
        }
    return {"weighted_clusters": {"clusters": members}}


def _copied(config: EndpointConfig, revision: RevisionConfig) -> int:
    """Percent of a revision's requests that are copied: none of those of whom copies go to."""
    shadow = shadowed(config)
    if config.shadow is None or shadow is None or shadow.name == revision.name:
        return 0
    return config.shadow.percent


def _splice(preset: PresetConfig, config: EndpointConfig, copied: int = 0) -> Resource:
    context = filter_context(preset, config.keep_alive_seconds, copied)
    guarded = {"name": SPLICE_AND_GUARD} if config.external else {}
    return {SPLICE_FILTER: {"@type": _LUA, "filter_context": context, **guarded}}


def _retry_policy(retries: int) -> Resource:
    """Attempts on other backends; Envoy makes none once an answer has begun."""
    return {
        "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
        "retriable_status_codes": [503],
        "num_retries": retries,
        "retry_host_predicate": [PREVIOUS_HOSTS],
        # A busier backend is drawn with a chance of 1 in 4 where there are two: draw often enough.
        "host_selection_retry_max_attempts": 100,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.250s"},
    }


def _own_pages(configs: list[EndpointConfig]) -> Resource:
    """What the router answers itself.

    The last ones are what every other request has first: filters that are off on it stay off for
    the request.
    """
    return {
        "name": "router",
        "domains": ["*"],
        "routes": [
            _page("/health", '{"status":"ok"}'),
            _page("/v1/models", catalogue.model_list(configs)),
            _page("/llm/models", catalogue.endpoint_list(configs)),
            {**_unrouted({"safe_regex": {"regex": UNCOUNTED}}), **_without(*_COUNTING)},
            {**_unrouted({"safe_regex": {"regex": USAGE}}), **_without(TIMINGS_FILTER)},
            {**_unrouted({"safe_regex": {"regex": COUNTED}}), **_without(USAGE_FILTER)},
            {
                **_unrouted({"prefix": "/"}),
                **_without(*_COUNTING, PICKING_FILTER, PINNING_FILTER),
            },
        ],
    }


def _unrouted(match: Resource) -> Resource:
    return {
        "match": match,
        "direct_response": {
            "status": 500,
            "body": {"inline_string": "the request was not routed"},
        },
    }


def _without(*filters: str) -> Resource:
    config = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
    off = {"@type": config, "disabled": True}
    return {"typed_per_filter_config": dict.fromkeys(filters, off)}


def _page(path: str, body: str) -> Resource:
    return {
        "name": path,
        "match": {"path": path},
        **_without(*_COUNTING, PICKING_FILTER, PINNING_FILTER),
        "direct_response": {"status": 200, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }

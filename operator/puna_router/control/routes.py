"""Routes: one virtual host per model name, found by the header that the selecting filter sets.

A virtual host has one route, since which paths exist is the filter's to say; so a look-up costs the
same for one endpoint and for five hundred.
"""

from __future__ import annotations

from typing import Final

from puna_router.config import EndpointConfig, PresetConfig, RevisionConfig
from puna_router.control import catalogue
from puna_router.control.clusters import NO_BACKENDS
from puna_router.control.keys.table import access_table
from puna_router.control.listener import (
    CLIENT_HEADER,
    COUNTING_FILTER,
    ROUTES,
    SELECT_FILTER,
    SPLICE_FILTER,
    TARGET_HEADER,
)
from puna_router.control.shares import Shares, shares
from puna_router.control.splice import filter_context
from puna_router.control.world import Resource, Served, World, cluster_name

DIRECT_RESPONSE_LIMIT: Final = 8 * 1024 * 1024
"""Largest model list, in bytes; Envoy's own limit is 4 KiB."""
UNCOUNTED: Final = r"(/endpoints/[^/]+)?(/v1)?/(embeddings?|rerank|reranking|tokenize|detokenize)"
"""Paths whose answers hold no token counts and may be larger than what is held to look for some."""
HIDDEN_HEADERS: Final = (
    TARGET_HEADER,
    CLIENT_HEADER,
    "x-puna-preset",
    "x-envoy-external-address",
    "authorization",
    "x-api-key",
)
"""Request headers that no backend sees: the router's own, and the client's credentials."""
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


def route_configuration(world: World, namespace: str | None) -> Resource:
    """All routes of a router."""
    configs = [served.config for served in world.endpoints]
    hosts = [host for served in world.endpoints for host in endpoint_hosts(served, world)]
    configuration: Resource = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "vhost_header": TARGET_HEADER,
        "max_direct_response_body_size_bytes": DIRECT_RESPONSE_LIMIT,
        "request_headers_to_remove": list(HIDDEN_HEADERS),
        "virtual_hosts": [*hosts, _own_pages(configs, namespace)],
    }
    if any(config.access for config in configs):
        table = access_table(configs, world.keys, world.routers)
        configuration["typed_per_filter_config"] = {SELECT_FILTER: _context(table)}
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
    return [
        _host(config, config.name, chosen, None),
        *(
            _host(config, f"{config.name}:{name}", chosen, config.presets[name])
            for name in sorted(config.presets)
        ),
    ]


def _host(
    config: EndpointConfig,
    name: str,
    chosen: Shares,
    preset: PresetConfig | None,
) -> Resource:
    """One model name; `preset` takes the place of each revision's own."""
    action: Resource = {
        "timeout": "0s",
        "idle_timeout": f"{config.idle_timeout_seconds}s",
    }
    if chosen:
        action["weighted_clusters"] = {
            "clusters": [_member(config, *share, preset) for share in chosen]
        }
    else:
        action["cluster"] = NO_BACKENDS
    if config.retries:
        action["retry_policy"] = _retry_policy(config.retries)
    route = {"name": name, "match": {"prefix": "/"}, "route": action}
    routes = [_admitted(route), _UNCHECKED] if config.access else [route]
    return {"name": name, "domains": [name], "routes": routes}


def _admitted(route: Resource) -> Resource:
    """The route for requests whose key was found good: none is taken that was not looked at."""
    present = {"name": CLIENT_HEADER, "present_match": True}
    return {**route, "match": {**route["match"], "headers": [present]}}


def _context(content: Resource) -> Resource:
    """What a Lua filter finds on a route."""
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute",
        "filter_context": content,
    }


def _member(
    config: EndpointConfig, revision: RevisionConfig, weight: int, preset: PresetConfig | None
) -> Resource:
    context = filter_context(preset or revision.preset, config.keep_alive_seconds)
    return {
        "name": cluster_name(config.name, revision.name),
        "weight": weight,
        "typed_per_filter_config": {SPLICE_FILTER: _context(context)},
    }


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


def _own_pages(configs: list[EndpointConfig], namespace: str | None) -> Resource:
    """What the router answers itself.

    The last two routes are what every other request has first: the selecting filter reads its
    table there, and filters that are off on it stay off for the request.
    """
    table = catalogue.lookup_table(configs, namespace)
    pieces = catalogue.list_table(configs)
    for_keys = _metadata(pieces) if pieces else {}
    return {
        "name": "router",
        "domains": ["*"],
        "routes": [
            _page("/health", '{"status":"ok"}'),
            {**_page("/v1/models", catalogue.model_list(configs)), **for_keys},
            {**_page("/llm/models", catalogue.endpoint_list(configs)), **for_keys},
            {**_unrouted(table, {"safe_regex": {"regex": UNCOUNTED}}), **_without_token_counts()},
            _unrouted(table, {"prefix": "/"}),
        ],
    }


def _unrouted(table: Resource, match: Resource) -> Resource:
    return {
        "match": match,
        **_metadata(table),
        "direct_response": {
            "status": 500,
            "body": {"inline_string": "the request was not routed"},
        },
    }


def _metadata(table: Resource) -> Resource:
    """What the selecting filter finds on a route."""
    return {"metadata": {"filter_metadata": {SELECT_FILTER: table}}}


def _without_token_counts() -> Resource:
    config = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
    return {"typed_per_filter_config": {COUNTING_FILTER: {"@type": config, "disabled": True}}}


def _page(path: str, body: str) -> Resource:
    return {
        "name": path,
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }

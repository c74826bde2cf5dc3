"""The listener for clients: one chain of filters for every endpoint, unchanged by any document."""

from __future__ import annotations

from typing import Final

from puna_router.control.access_log import access_loggers
from puna_router.control.errors import local_reply_config
from puna_router.control.filters import (
    BODY_LIMIT,
    picking,
    pinning,
    routing,
    splicing,
    timings_of_streams,
    token_counts_of_documents,
    token_counts_of_streams,
)
from puna_router.control.headers import INTERNAL, NO_TARGET, SESSION, TARGET
from puna_router.control.keys.limits import LIMITS_FILTER
from puna_router.control.select_filter import SELECT_FILTER
from puna_router.control.tls import transport_socket
from puna_router.control.world import Resource, Site

LISTENER: Final = "ingress"
ROUTES: Final = "main"

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_FILTERS: Final = f"{_TYPES}.filters"


def listener(site: Site, routes: Resource, select: Resource, limits: Resource) -> Resource:
    """The listener; `routes` holds `rds` or `route_config` of the connection manager.

    `select` and `limits` hold `config_discovery` or `typed_config` of the filters that select the
    virtual host and count requests.
    """
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER,
        "use_remote_address": True,
        "skip_xff_append": True,
        # Bytes and headers pass as they are, but for what would let a client steer Envoy.
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "early_header_mutation_extensions": [_header_guard()],
        # The client's request id is kept as it is written, and told back.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{_TYPES}.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
        "request_headers_timeout": "10s",
        # Every routed request has the idle timeout of its endpoint; this one is for the rest.
        "stream_idle_timeout": "300s",
        "local_reply_config": local_reply_config(),
        "access_log": access_loggers(),
        "http_filters": [
            _session_guard(),
            {"name": SELECT_FILTER, **select},
            {"name": LIMITS_FILTER, **limits},
            picking(),
            pinning(),
            token_counts_of_documents(),
            timings_of_streams(),
            token_counts_of_streams(),
            splicing(),
            routing(),
        ],
        **routes,
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ],
        **(transport_socket(site) if site.encrypted else {}),
    }
    address = {"socket_address": {"address": site.listen, "port_value": site.port}}
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": LISTENER,
        "address": address,
        "per_connection_buffer_limit_bytes": BODY_LIMIT,
        # Two routers on one port are an error, not a lottery; then one socket serves all threads,
        # and new connections are dealt out to them evenly.
        "enable_reuse_port": False,
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [chain],
    }


def _header_guard() -> Resource:
    """Drop what Envoy would obey, and start every request on the router's own virtual host."""
    target = {"header": {"key": TARGET, "value": NO_TARGET}}
    mutations: list[Resource] = [
        {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
        *({"remove": name} for name in INTERNAL),
        {"append": {**target, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
    ]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    }


def _session_guard() -> Resource:
    """Take the address of the chosen server out of answers: the first filter sees them last."""
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{_FILTERS}.http.header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": [{"remove": SESSION}]},
        },
    }

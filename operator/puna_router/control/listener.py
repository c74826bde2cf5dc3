"""The listener for clients: one chain of filters for every endpoint, unchanged by any document."""

from __future__ import annotations

from typing import Final

from puna_router.control.access_log import TIMINGS, USAGE, access_loggers
from puna_router.control.clusters import PICKER
from puna_router.control.errors import METADATA, local_reply_config
from puna_router.control.headers import ASKED, INTERNAL, NO_TARGET, SESSION, TARGET
from puna_router.control.keys.limits import LIMITS_FILTER
from puna_router.control.scripts import splice_script
from puna_router.control.select_filter import SELECT_FILTER
from puna_router.control.tls import transport_socket
from puna_router.control.world import Resource, Site
from puna_router.picker.config import MAX_MESSAGE_TIMEOUT

LISTENER: Final = "ingress"
ROUTES: Final = "main"
SPLICE_FILTER: Final = "puna.splice"
PICKING_FILTER: Final = "envoy.filters.http.ext_proc"
PINNING_FILTER: Final = "envoy.filters.http.stateful_session"
COUNTING_FILTER: Final = "envoy.filters.http.json_to_metadata"
BODY_LIMIT: Final = 32 * 1024 * 1024
"""Largest request body, in bytes: Lua holds it whole."""
EVENT_LIMIT: Final = 1024 * 1024
"""Largest SSE event that is read for token counts, in bytes.

The last event of a stream of `/completion` holds the whole prompt beside the counts. Envoy searches
an unfinished event from its start with every read, so a larger limit costs by its square.
"""

PICKER_TIMEOUT: Final = "2s"
"""How long a picker that does not answer holds a request up; then Envoy balances by itself.

Long enough for a picker that waits for a processor: a quarter of a second let bursts of a thousand
pass it by on two busy cores, into servers that had no slot."""
LONGEST_HOLD: Final = f"{MAX_MESSAGE_TIMEOUT:g}s"
"""How long it may hold one up that it has said to be waiting; each says its own limit."""

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
            _picking(),
            _pinning(),
            _lua(SPLICE_FILTER, splice_script()),
            _token_counts_of_documents(),
            _token_counts_of_streams(),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_FILTERS}.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
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


def _picking() -> Resource:
    """Ask the picker for a server, and let it know when the answer has ended.

    Headers alone go there, once the body is complete, since the selecting filter has read it. That
    response trailers are asked for keeps the call to the picker open until the answer ends; nothing
    is sent for it. A picker that is away or hangs costs its choice and its queue.
    """
    names = [{"exact": name} for name in ASKED]
    return {
        "name": PICKING_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": PICKER}},
            "failure_mode_allow": True,
            "message_timeout": PICKER_TIMEOUT,
            "max_message_timeout": LONGEST_HOLD,
            "request_attributes": ["xds.cluster_name"],
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "NONE",
                "request_trailer_mode": "SKIP",
                "response_header_mode": "SKIP",
                "response_body_mode": "NONE",
                "response_trailer_mode": "SEND",
            },
            # Refusals say by metadata that they are error documents already.
            "metadata_options": {"receiving_namespaces": {"untyped": [METADATA]}},
            "forward_rules": {"allowed_headers": {"patterns": names}},
            # A request that waits has a route of its own.
            "route_cache_action": "CLEAR",
        },
    }


def _pinning() -> Resource:
    """Send a request to the server that the picker chose, unless Envoy knows that it is ill."""
    return {
        "name": PINNING_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.stateful_session.v3.StatefulSession",
            "session_state": {
                "name": "envoy.http.stateful_session.header",
                "typed_config": {
                    "@type": f"{_TYPES}.http.stateful_session.header.v3.HeaderBasedSessionState",
                    "name": SESSION,
                },
            },
        },
    }


def _lua(name: str, script: str) -> Resource:
    return {
        "name": name,
        "typed_config": {
            "@type": f"{_FILTERS}.http.lua.v3.Lua",
            "default_source_code": {"inline_string": script},
        },
    }


def _token_rules() -> list[Resource]:
    places = (*((name, ("timings", field)) for name, field in TIMINGS.items()), *USAGE)
    return [
        {
            "selectors": [{"key": member} for member in path],
            "on_present": {"metadata_namespace": METADATA, "key": name, "type": "NUMBER"},
        }
        for name, path in places
    ]


def _token_counts_of_documents() -> Resource:
    return {
        "name": COUNTING_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.json_to_metadata.v3.JsonToMetadata",
            "response_rules": {
                "rules": _token_rules(),
                # llama-server adds a charset.
                "allow_content_types_regex": {"regex": "application/json.*"},
            },
        },
    }


def _token_counts_of_streams() -> Resource:
    parser = {
        "@type": f"{_TYPES}.content_parsers.json.v3.JsonContentParser",
        "rules": [{"rule": rule} for rule in _token_rules()],
    }
    return {
        "name": "envoy.filters.http.sse_to_metadata",
        "typed_config": {
            "@type": f"{_FILTERS}.http.sse_to_metadata.v3.SseToMetadata",
            "response_rules": {
                "max_event_size": EVENT_LIMIT,
                "content_parser": {"name": "envoy.content_parsers.json", "typed_config": parser},
            },
        },
    }

"""The filters that every request to a server passes, whichever listener it came by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from puna_router.control.access_log import TIMINGS, USAGE
from puna_router.control.clusters import PICKER
from puna_router.control.errors import METADATA
from puna_router.control.headers import ASKED, SESSION
from puna_router.control.scripts import guard_script, splice_script
from puna_router.control.world import Resource
from puna_router.picker.config import MAX_MESSAGE_TIMEOUT

SPLICE_FILTER: Final = "puna.splice"
GUARD: Final = "guard"
SPLICE_AND_GUARD: Final = "splice-and-guard"
"""Sources that routes may name for the splicing filter."""
PICKING_FILTER: Final = "envoy.filters.http.ext_proc"
PINNING_FILTER: Final = "envoy.filters.http.stateful_session"
COUNTING_FILTER: Final = "envoy.filters.http.json_to_metadata"
TIMINGS_FILTER: Final = "puna.timings"
"""Counts the tokens of streams by llama-server's `timings`."""
USAGE_FILTER: Final = "puna.usage"
"""Counts them by `usage` too. Every stream holds a copy of the rules, so only those that may need
them have these."""
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


def picking() -> Resource:
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


def pinning() -> Resource:
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


def splicing() -> Resource:
    """Put the preset of the chosen revision into the body, and copy it before.

    Where a route says so, streams are guarded as well: it has to stand behind the filters that
    count their tokens, and so gets what a server sends before they do.
    """
    sources = {GUARD: False, SPLICE_AND_GUARD: True}
    return {
        "name": SPLICE_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.lua.v3.Lua",
            "default_source_code": {"inline_string": splice_script()},
            "source_codes": {
                name: {"inline_string": guard_script(EVENT_LIMIT, splices=splices)}
                for name, splices in sources.items()
            },
        },
    }


def _timings_rules() -> list[Resource]:
    return _rules((name, ("timings", field)) for name, field in TIMINGS.items())


def _rules(places: Iterable[tuple[str, tuple[str, ...]]]) -> list[Resource]:
    return [
        {
            "selectors": [{"key": member} for member in path],
            "on_present": {"metadata_namespace": METADATA, "key": name, "type": "NUMBER"},
        }
        for name, path in places
    ]


def token_counts_of_documents() -> Resource:
    """Read what llama-server counted from an answer that is one document."""
    return {
        "name": COUNTING_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.json_to_metadata.v3.JsonToMetadata",
            "response_rules": {
                "rules": _timings_rules() + _rules(USAGE),
                # llama-server adds a charset.
                "allow_content_types_regex": {"regex": "application/json.*"},
            },
        },
    }


def timings_of_streams() -> Resource:
    """The same from the events of a stream, where they can be in `timings` alone."""
    return _token_counts_of_streams(TIMINGS_FILTER, _timings_rules())


def token_counts_of_streams() -> Resource:
    """The same from the events of any stream."""
    return _token_counts_of_streams(USAGE_FILTER, _timings_rules() + _rules(USAGE))


def _token_counts_of_streams(name: str, rules: list[Resource]) -> Resource:
    parser = {
        "@type": f"{_TYPES}.content_parsers.json.v3.JsonContentParser",
        "rules": [{"rule": rule} for rule in rules],
    }
    return {
        "name": name,
        "typed_config": {
            "@type": f"{_FILTERS}.http.sse_to_metadata.v3.SseToMetadata",
            "response_rules": {
                "max_event_size": EVENT_LIMIT,
                "content_parser": {"name": "envoy.content_parsers.json", "typed_config": parser},
            },
        },
    }


def routing() -> Resource:
    """Send the request on: the last filter."""
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": f"{_FILTERS}.http.router.v3.Router",
            "suppress_envoy_headers": True,
        },
    }

"""Access loggers: a line for each request, and Envoy's own series of requests, times and tokens.

The names of series here are Envoy's; `puna_router.series` says under which they are published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from puna_router.control.errors import METADATA
from puna_router.control.headers import TARGET
from puna_router.control.world import Resource

PREFIX: Final = "puna"

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_END: Final[Resource] = {"log_type_filter": {"types": ["DownstreamEnd"]}}

ENDPOINT: Final = f"%METADATA(ROUTE:{METADATA}:endpoint)%"
"""Whose route the request had; absent where the router answered by itself."""
ENDPOINT_TAG: Final = {"name": "endpoint", "value_format": ENDPOINT}
_POOL: Final = {"name": "pool", "value_format": f"%UPSTREAM_METADATA({METADATA}:pool)%"}
REVISION_TAG: Final = {"name": "revision", "value_format": "%UPSTREAM_CLUSTER%"}
_KEY: Final = {"name": "key", "value_format": f"%DYNAMIC_METADATA({METADATA}:key)%"}
CODE_TAG: Final = {"name": "code", "value_format": "%RESPONSE_CODE%"}

BROKEN: Final = ("UC", "UR", "UPE", "UT", "SI")
"""Flags of an answer that did not come to its end through no fault of its client."""
PATIENCE: Final = 5000
"""Milliseconds after which a client that leaves without an answer has given up."""
OVER_RATE: Final = "RL"
"""Flag of an answer to a key over its requests per minute."""

TOKENS: Final = {
    "prompt_tokens": "prompt_n",
    "cached_tokens": "cache_n",
    "generated_tokens": "predicted_n",
}
"""Counter, and the field of llama-server's `timings` that feeds it."""
TIMINGS: Final = {
    **TOKENS,
    "token_milliseconds": "predicted_per_token_ms",
    "generation_milliseconds": "predicted_ms",
}
"""What is taken from `timings`, and the field that it comes from."""
USAGE: Final = (
    ("prompt_tokens", ("usage", "input_tokens")),
    ("prompt_tokens", ("message", "usage", "input_tokens")),
    ("cached_tokens", ("usage", "cache_read_input_tokens")),
    ("cached_tokens", ("message", "usage", "cache_read_input_tokens")),
    ("cached_tokens", ("usage", "input_tokens_details", "cached_tokens")),
    ("generated_tokens", ("usage", "output_tokens")),
)
"""Counters, and where answers of `/v1/messages` and `/v1/responses` that lack `timings` hold them.

`input_tokens` of a `/v1/responses` document includes the cached ones.
"""

FIRST_BYTE: Final = "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%"
"""From a request's first byte to the first byte of its answer's body, in milliseconds."""
WAIT: Final = "%COMMON_DURATION(DS_RX_END:US_TX_BEG:ms)%"
"""From a request's last byte to the first that a backend gets of it, in milliseconds."""
LINE: Final = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(x-request-id):128%",
    "traceparent": "%REQ(traceparent):128%",
    "method": "%REQ(:method):16%",
    "path": "%REQ(:path):128%",
    "endpoint": ENDPOINT,
    "revision": "%UPSTREAM_CLUSTER%",
    "key": f"%DYNAMIC_METADATA({METADATA}:key)%",
    "pool": f"%UPSTREAM_METADATA({METADATA}:pool)%",
    "backend": f"%UPSTREAM_METADATA({METADATA}:name)%",
    "address": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "reason": f"%DYNAMIC_METADATA({METADATA}:reason)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "wait_ms": WAIT,
    "first_token_ms": FIRST_BYTE,
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    **{name: f"%DYNAMIC_METADATA({METADATA}:{name})%" for name in TOKENS},
}
"""Members of a line of the access log; what a request has not is left out."""


def access_loggers() -> list[Resource]:
    """Loggers of one listener. Each label value comes from a document, never from a client."""
    return [
        lines(),
        requests("requests", (ENDPOINT_TAG, _POOL, REVISION_TAG, _KEY, CODE_TAG)),
        _failed(),
        requests("abandoned_requests", (ENDPOINT_TAG, REVISION_TAG), abandoned()),
        _limited(),
        times(),
        *(tokens(name, _KEY) for name in TOKENS),
        tokens("generation_milliseconds"),
        token_times(),
    ]


def lines(line: Mapping[str, str] = LINE) -> Resource:
    """One line of JSON on standard output for each request but a probe's."""
    probe = {"name": ":path", "string_match": {"exact": "/health"}, "invert_match": True}
    return {
        "name": "puna.lines",
        "filter": {"and_filter": {"filters": [_END, {"header_filter": {"header": probe}}]}},
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": dict(line), "omit_empty_values": True},
        },
    }


def requests(name: str, tags: Iterable[Resource], *filters: Resource) -> Resource:
    """Count those requests that all filters let pass."""
    counter = {"stat": {"name": name, "tags": [*tags]}, "value_fixed": 1}
    return _logger(name, [*filters], {"counters": [counter]})


def _failed() -> Resource:
    """Requests that a client would call failed: what its answer was, or that none came to its end.

    What limits of a key refuse is not among them: it says nothing of whoever would have answered.
    """
    broken = {"response_flag_filter": {"flags": list(BROKEN)}}
    refused = _refused("queue_full|queue_timeout")
    either = {"or_filter": {"filters": [_status("GE", 500), abandoned(), broken, refused]}}
    return requests("failed_requests", (ENDPOINT_TAG, REVISION_TAG), either)


def abandoned() -> Resource:
    """Requests whose client waited for long and left without an answer: it has given up.

    Who leaves sooner has changed its mind, as an editor does with every key that is struck. That
    happens more often the longer an answer takes, and so is no failure: times are told apart.
    """
    patience = {"default_value": PATIENCE, "runtime_key": "puna.patience"}
    waited = {"duration_filter": {"comparison": {"op": "GE", "value": patience}}}
    return {"and_filter": {"filters": [_status("EQ", 0), waited]}}


def _limited() -> Resource:
    """Requests that limits of their key refuse, for who wants to know of all others."""
    too_often = {"response_flag_filter": {"flags": [OVER_RATE]}}
    refused = _refused("key_concurrency|tokens_exhausted")
    either = {"or_filter": {"filters": [too_often, refused]}}
    return requests("limited_requests", (ENDPOINT_TAG, REVISION_TAG), either)


def _refused(reasons: str) -> Resource:
    """Requests that the picker refuses for one of some reasons."""
    matcher = {
        "filter": METADATA,
        "path": [{"key": "reason"}],
        "value": {"string_match": {"safe_regex": {"regex": reasons}}},
    }
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def times(prefix: str = "", *filters: Resource) -> Resource:
    """Only for answers that a backend gave: without one the first byte has no time."""
    return _logger(
        f"{prefix}times",
        [sent_on(), *filters, _status("GE", 200), _status("LE", 399)],
        {
            "histograms": [
                _histogram(f"{prefix}time_to_first_token", FIRST_BYTE),
                _histogram(f"{prefix}duration", "%DURATION%"),
            ]
        },
    )


def token_times(prefix: str = "") -> Resource:
    """Time between tokens, as llama-server reports it."""
    name = "token_milliseconds"
    value = f"%DYNAMIC_METADATA({METADATA}:{name})%"
    histogram = _histogram(f"{prefix}inter_token", value)
    return _logger(f"{prefix}{name}", [_present(name)], {"histograms": [histogram]})


def tokens(name: str, *tags: Resource, prefix: str = "") -> Resource:
    """Add up one of the numbers that answers report."""
    stat = {"name": f"{prefix}{name}", "tags": [ENDPOINT_TAG, REVISION_TAG, *tags]}
    value = f"%DYNAMIC_METADATA({METADATA}:{name})%"
    counter = {"stat": stat, "value_format": value}
    return _logger(f"{prefix}{name}", [_present(name)], {"counters": [counter]})


def _histogram(name: str, value: str) -> Resource:
    tags = [ENDPOINT_TAG, REVISION_TAG]
    return {"stat": {"name": name, "tags": tags}, "unit": "Milliseconds", "value_format": value}


def _logger(name: str, filters: list[Resource], content: Resource) -> Resource:
    return {
        "name": f"puna.{name}",
        "filter": {"and_filter": {"filters": [_END, *filters]}} if filters else _END,
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": PREFIX},
            **content,
        },
    }


def _present(key: str) -> Resource:
    matcher = {"filter": METADATA, "path": [{"key": key}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def sent_on() -> Resource:
    """Requests that a backend got: the header that led there is taken off on the way."""
    header = {"name": TARGET, "present_match": True, "invert_match": True}
    return {"header_filter": {"header": header}}


def _status(operation: str, status: int) -> Resource:
    value = {"default_value": status, "runtime_key": f"puna.status_{operation.lower()}_{status}"}
    return {"status_code_filter": {"comparison": {"op": operation, "value": value}}}

"""Access loggers that count: Envoy's own series of requests, latencies and tokens.

The names here are Envoy's; `puna_router.metrics` says under which names they are published.
"""

from __future__ import annotations

from typing import Final

from puna_router.control.errors import METADATA
from puna_router.control.world import Resource

PREFIX: Final = "puna"

_ENDPOINT: Final = {"name": "endpoint", "value_format": f"%DYNAMIC_METADATA({METADATA}:endpoint)%"}
_REVISION: Final = {"name": "revision", "value_format": "%UPSTREAM_CLUSTER%"}
_KEY: Final = {"name": "key", "value_format": f"%DYNAMIC_METADATA({METADATA}:key)%"}
_CODE: Final = {"name": "code", "value_format": "%RESPONSE_CODE%"}

TOKENS: Final = {
    "prompt_tokens": "prompt_n",
    "cached_tokens": "cache_n",
    "generated_tokens": "predicted_n",
}
"""Counter, and the field of llama-server's `timings` that feeds it."""


def access_loggers() -> list[Resource]:
    """Loggers of one listener. Each label value comes from a document, never from a client."""
    return [_requests(), _times(), *(_tokens(counter) for counter in TOKENS)]


def _requests() -> Resource:
    counter = {
        "stat": {"name": "requests", "tags": [_ENDPOINT, _REVISION, _KEY, _CODE]},
        "value_fixed": 1,
    }
    return _logger("requests", [], {"counters": [counter]})


def _times() -> Resource:
    """Only for answers that a backend gave: without one the first byte has no time."""
    duration = "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%"
    return _logger(
        "times",
        [_present("endpoint"), _status("GE", 200), _status("LE", 399)],
        {
            "histograms": [
                _histogram("time_to_first_token", duration),
                _histogram("duration", "%DURATION%"),
            ]
        },
    )


def _tokens(counter: str) -> Resource:
    stat = {"name": counter, "tags": [_ENDPOINT, _REVISION, _KEY]}
    value = f"%DYNAMIC_METADATA({METADATA}:{counter})%"
    return _logger(
        counter, [_present(counter)], {"counters": [{"stat": stat, "value_format": value}]}
    )


def _histogram(name: str, value: str) -> Resource:
    tags = [_ENDPOINT, _REVISION]
    return {"stat": {"name": name, "tags": tags}, "unit": "Milliseconds", "value_format": value}


def _logger(name: str, filters: list[Resource], content: Resource) -> Resource:
    end: Resource = {"log_type_filter": {"types": ["DownstreamEnd"]}}
    return {
        "name": f"puna.{name}",
        "filter": {"and_filter": {"filters": [end, *filters]}} if filters else end,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": PREFIX},
            **content,
        },
    }


def _present(key: str) -> Resource:
    matcher = {"filter": METADATA, "path": [{"key": key}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def _status(operation: str, status: int) -> Resource:
    value = {"default_value": status, "runtime_key": f"puna.status_{operation.lower()}"}
    return {"status_code_filter": {"comparison": {"op": operation, "value": value}}}

"""Requests per minute: a bucket for each endpoint and key, in Envoy's local rate limit.

The filter has a file of its own, since its buckets are full again whenever it is configured anew:
that must not be so with every Pod that comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from puna_router.config import EndpointConfig
from puna_router.control.errors import METADATA
from puna_router.control.keys.rate import Rate, opens, rate_of
from puna_router.control.keys.ring import KeyRing
from puna_router.control.world import Resource

LIMITS_FILTER: Final = "puna.limits"
SHORTEST_FILL: Final = 0.05
"""Shortest time between two refills that Envoy takes, in seconds."""
MINUTE: Final = 60.0
DESCRIPTOR: Final = "bucket"

_FILTER: Final = (
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
)


def limits(
    configs: Iterable[EndpointConfig], rings: Mapping[str, KeyRing], routers: int
) -> Resource:
    """Configuration of the filter, with the share of one of several routers."""
    descriptors = [
        {
            "entries": [{"key": DESCRIPTOR, "value": f"{config.name}/{name}"}],
            "token_bucket": _bucket(rate_of(config.access, key).share(routers)),
        }
        for config in configs
        if config.access is not None
        for name, key in _ring(config.access.secret, rings).keys.items()
        if opens(key, config.name)
    ]
    always = {"default_value": {"numerator": 100}}
    return {
        "@type": _FILTER,
        "stat_prefix": "limits",
        "filter_enabled": always,
        "filter_enforced": always,
        "always_consume_default_token_bucket": False,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "descriptors": descriptors,
        "rate_limits": [{"actions": [_bucket_of_the_request()]}],
    }


def _ring(secret: str, rings: Mapping[str, KeyRing]) -> KeyRing:
    return rings.get(secret) or KeyRing()


def _bucket(rate: Rate) -> Resource:
    """One request at a time, or several where they come faster than Envoy refills."""
    tokens = 1
    while tokens * MINUTE / rate.requests_per_minute < SHORTEST_FILL:
        tokens += 1
    return {
        "max_tokens": rate.burst,
        "tokens_per_fill": tokens,
        "fill_interval": f"{tokens * MINUTE / rate.requests_per_minute:.3f}s",
    }


def _bucket_of_the_request() -> Resource:
    """What `lua/access.lua` notes of a request that counts; others have no bucket."""
    return {
        "metadata": {
            "descriptor_key": DESCRIPTOR,
            "metadata_key": {"key": METADATA, "path": [{"key": "limit"}, {"key": "bucket"}]},
            "source": "DYNAMIC",
            "skip_if_absent": True,
        }
    }

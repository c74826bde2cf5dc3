"""Copies of requests: a listener of their own, which no client reaches, in the same Envoy.

A copy is a request like any other from there on: with the preset of its revision, a slot from the
picker, and series. It is made before the original's body is spliced, so both begin as the client's.
"""

from __future__ import annotations

from typing import Final

from puna_router.control.clusters import SHADOW
from puna_router.control.errors import local_reply_config
from puna_router.control.filters import (
    BODY_LIMIT,
    picking,
    pinning,
    routing,
    splicing,
    token_counts_of_documents,
    token_counts_of_streams,
)
from puna_router.control.shadow_log import shadow_loggers
from puna_router.control.world import Resource

PATIENCE: Final = "0.250s"
"""How long a picker that does not answer holds a copy up; then it is dropped."""
_MANAGER: Final = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)


def shadow_target(model: str) -> str:
    """Virtual host of the copies of requests for a model; no model is called like that."""
    return f"{SHADOW}/{model}"


def shadow_listener(socket: str, routes: Resource) -> Resource:
    """The listener; `routes` holds `rds` or `route_config` of the connection manager.

    Its routes are those of all requests. Only Envoy's own user can open the socket, so what the
    headers say is believed.
    """
    manager = {
        "@type": _MANAGER,
        "stat_prefix": SHADOW,
        "codec_type": "HTTP2",
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": False,
        "stream_idle_timeout": "300s",
        "local_reply_config": local_reply_config(),
        "access_log": shadow_loggers(),
        "http_filters": [
            _picking(),
            pinning(),
            token_counts_of_documents(),
            token_counts_of_streams(),
            splicing(),
            routing(),
        ],
        **routes,
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": SHADOW,
        "address": {"pipe": {"path": socket, "mode": 0o600}},
        "per_connection_buffer_limit_bytes": BODY_LIMIT,
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def _picking() -> Resource:
    """Ask for a slot. Without the picker's word no copy is sent on: nobody knows what is free.

    The picker may take it back at any moment, which ends the copy.
    """
    asking = picking()
    strict = {"failure_mode_allow": False, "message_timeout": PATIENCE}
    return {**asking, "typed_config": asking["typed_config"] | strict}

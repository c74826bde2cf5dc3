"""Request headers that the parts of the chain speak by; none comes from a client or leaves."""

from __future__ import annotations

from typing import Final

from puna_router.control.balancing import AFFINITY_HEADER
from puna_router.picker.messages import CLUSTER_HEADER, SESSION_HEADER

TARGET: Final = "x-puna-target"
"""Virtual host of the request: `<endpoint>` or `<endpoint>:<preset>`."""
NO_TARGET: Final = "-"
"""What every request starts with: the router's own pages."""
CLIENT: Final = "x-puna-client"
"""Name of the API key that it came with."""
SLOTS: Final = "x-puna-slots"
"""Slots of a server that it takes, or `if-free` of a copy; absent: none."""
PREFIX: Final = "x-puna-prefix"
"""Beginnings of its prompt: `<hash>:<bytes>,...`, the longest last."""
STREAM: Final = "x-puna-stream"
"""Whether it asks for a stream, or its path decides that."""
SESSION: Final = SESSION_HEADER
"""The server that the picker chose: its address and port in base64."""
CLUSTER: Final = CLUSTER_HEADER
"""Cluster that the picker chose in the place of the route's."""
REQUEST_ID: Final = "x-request-id"

INTERNAL: Final = (CLIENT, SLOTS, PREFIX, AFFINITY_HEADER, STREAM, SESSION, CLUSTER)
"""What a client must not set."""
ASKED: Final = (TARGET, CLIENT, SLOTS, PREFIX, AFFINITY_HEADER, REQUEST_ID)
"""What the picker is told of a request."""
HIDDEN: Final = (
    TARGET,
    *(name for name in INTERNAL if name != AFFINITY_HEADER),
    "x-puna-preset",
    "x-envoy-external-address",
    "authorization",
    "x-api-key",
)
"""What goes before a server is chosen: the router's own, and the client's credentials.

The hash that it is chosen by goes afterwards.
"""

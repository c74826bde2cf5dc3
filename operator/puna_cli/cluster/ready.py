"""Whether the parts of a cluster work, as each part tells itself."""

from __future__ import annotations

from typing import Any

import httpx

from puna_cli.cluster.state import ClusterState
from puna_cli.front.envoy import READY_PATH


def node_is_ready(node: dict[str, Any] | None) -> bool:
    """Whether a Node object says that it is ready."""
    conditions = (node or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def front_is_ready(client: httpx.Client, state: ClusterState) -> bool:
    """Whether this cluster's own front answers on its port."""
    try:
        answer = client.get(state.front + READY_PATH)
        return answer.is_success and bool(answer.json().get("cluster") == state.name)
    except (httpx.TransportError, ValueError):
        return False


def operator_is_healthy(client: httpx.Client, state: ClusterState) -> bool:
    """Whether the operator says that its loop turns."""
    try:
        return client.get(f"http://127.0.0.1:{state.ports.operator}/healthz").is_success
    except httpx.TransportError:
        return False

"""The Pods of a cluster that ends: their processes and their objects."""

from __future__ import annotations

import httpx

from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.state import ClusterState
from puna_cli.paths import ClusterPaths
from puna_node.stop_pods import stop_agent, stop_pods

GRACE_SECONDS = 1.0


def end_pods(paths: ClusterPaths) -> None:
    """End every process of every Pod, without the API server and without the node agent.

    An agent that its record does not name ends as well.
    """
    stop_agent(paths.agent)
    stop_pods(paths.agent, grace=GRACE_SECONDS)


def delete_pods(paths: ClusterPaths, state: ClusterState) -> None:
    """Delete every Pod object, so that the next start makes new Pods.

    What is left would be taken for containers that crashed, and wait longer each time. An API
    server that does not answer any more changes nothing: then it is as after a power failure.
    """
    with LocalApi(paths, state.server) as api:
        try:
            for pod in (api.get("/api/v1/pods") or {"items": []})["items"]:
                metadata = pod["metadata"]
                name, namespace = metadata["name"], metadata["namespace"]
                api.delete_at_once(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except httpx.HTTPError:
            return

"""Processes of a cluster's Pods, found without the API server and without the node agent."""

from __future__ import annotations

from puna_cli.paths import ClusterPaths
from puna_node.stop_pods import stop_agent, stop_pods

GRACE_SECONDS = 5.0


def end_pods(paths: ClusterPaths) -> None:
    """End every Pod of the cluster; an agent that its record does not name ends as well."""
    stop_agent(paths.agent)
    stop_pods(paths.agent, grace=GRACE_SECONDS)

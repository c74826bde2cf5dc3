"""Processes of a cluster's Pods, found without the node agent that started them."""

from __future__ import annotations

import os

import psutil

from puna_cli.cluster.processes import stop
from puna_cli.paths import ClusterPaths
from puna_node.launch import TERMINATION_LOG

GRACE_SECONDS = 3.0


def pod_processes(paths: ClusterPaths) -> list[psutil.Process]:
    """Living processes whose environment says that they belong to a Pod of this cluster."""
    folder = f"{paths.agent}{os.sep}"
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TERMINATION_LOG, "").startswith(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # Another user's process is none of ours; one that has ended needs no end.
            continue
    return found


def end_pods(paths: ClusterPaths) -> None:
    """End what is left of the cluster's Pods."""
    stop(pod_processes(paths), GRACE_SECONDS)

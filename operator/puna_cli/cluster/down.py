"""`puna down`: end every process of a cluster, in an order in which nobody waits for the dead."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from puna_cli.cluster.launch import stop_programs
from puna_cli.cluster.pods import delete_pods, end_pods
from puna_cli.cluster.processes import running
from puna_cli.cluster.program import split_at_pods
from puna_cli.cluster.state import read_state
from puna_cli.locks import locked
from puna_cli.paths import cluster_paths
from puna_cli.report import Report

STOP_SECONDS = {"operator": 10.0, "agent": 30.0, "apiserver": 2.0, "etcd": 10.0}


def down(name: str, environment: Mapping[str, str], report: Report, *, purge: bool = False) -> bool:
    """End the cluster; False if nothing was running. With `purge` its data go as well."""
    paths = cluster_paths(environment, name)
    if not paths.root.is_dir():
        return False
    with locked(paths.lock, lambda: report.waiting("another command works on this cluster")):
        names = list(running(paths))
        if names:
            with report.step("Ending all processes") as step:
                step.result = ", ".join(names)
                before, after = split_at_pods(names)
                stop_programs(paths, before, STOP_SECONDS)
                end_pods(paths)
                state = read_state(paths)
                if state is not None and "apiserver" in after:
                    delete_pods(paths, state)
                stop_programs(paths, after, STOP_SECONDS)
        else:
            # Pods outlive an agent that was killed.
            end_pods(paths)
        if purge:
            shutil.rmtree(paths.root)
    return bool(names)

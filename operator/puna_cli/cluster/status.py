"""`puna status`: what of a cluster runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.processes import find, running
from puna_cli.cluster.ready import front_is_ready, node_is_ready, operator_is_healthy
from puna_cli.cluster.state import ClusterState, read_state
from puna_cli.paths import ClusterPaths

CONTROL_PLANE = ("etcd", "apiserver", "controller-manager", "scheduler")
WORKLOAD = ("operator", "agent", "front", "front-control")


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of a cluster."""

    name: str
    pid: int | None
    seconds: float = 0
    memory: int = 0
    """Resident bytes."""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What a cluster looks like from outside."""

    state: ClusterState
    processes: tuple[ProcessStatus, ...]
    checks: Mapping[str, bool]
    """What was asked for, and whether the answer was good."""

    @property
    def is_up(self) -> bool:
        """Whether all of it works."""
        return all(p.pid is not None for p in self.processes) and all(self.checks.values())

    @property
    def is_down(self) -> bool:
        """Whether none of it runs."""
        return all(process.pid is None for process in self.processes)


def cluster_status(paths: ClusterPaths) -> ClusterStatus | None:
    """The status; None where no cluster was ever made."""
    state = read_state(paths)
    if state is None:
        return None
    expected = WORKLOAD[:1] if state.kubeconfig else (*CONTROL_PLANE, *WORKLOAD)
    processes = _processes(paths, expected)
    alive = {process.name for process in processes if process.pid is not None}
    return ClusterStatus(state, processes, _checks(paths, state) if alive else {})


def _processes(paths: ClusterPaths, expected: tuple[str, ...]) -> tuple[ProcessStatus, ...]:
    records = running(paths)
    found: list[ProcessStatus] = []
    for name in expected:
        process = find(records[name]) if name in records else None
        if process is None:
            found.append(ProcessStatus(name, None))
        else:
            seconds = time.time() - process.create_time()
            found.append(ProcessStatus(name, process.pid, seconds, process.memory_info().rss))
    return tuple(found)


def _checks(paths: ClusterPaths, state: ClusterState) -> dict[str, bool]:
    with httpx.Client(trust_env=False, timeout=2) as client:
        healthy = {"operator is healthy": operator_is_healthy(client, state)}
        if state.kubeconfig:
            return healthy
        with LocalApi(paths, state.server) as api:
            ready = api.is_ready()
            node = api.get(f"/api/v1/nodes/{state.node_name}") if ready else None
        return {
            "API server is ready": ready,
            "node is ready": node_is_ready(node),
            "front answers": front_is_ready(client, state),
            **healthy,
        }

"""Census: how many servers are wanted, exist and are ready, by pool and by process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from puna.api.llmendpoint_status import PoolStatus
from puna.api.pool import Pool
from puna.core.naming import LABEL_POOL, LABEL_PROCESS
from puna.core.plan import Manifest
from puna.core.readiness import is_ready


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of an endpoint's Pods and Deployments."""

    existing: Mapping[str, int]
    """Pods by pool that have not ended, of all processes."""
    ready: Mapping[str, int]
    """Ready Pods by pool, of all processes."""
    ready_of: Mapping[tuple[str, str], int]
    """Ready Pods by pool and process."""
    processes: frozenset[str]
    """Processes with Pods, ending ones too."""
    deployed: Mapping[tuple[str, str], Manifest]
    """Deployments by pool and process that are not being deleted."""

    @property
    def live(self) -> frozenset[str]:
        """Processes with a Deployment."""
        return frozenset(process for _, process in self.deployed)

    @property
    def serving(self) -> frozenset[str]:
        """Processes with a ready Pod."""
        return frozenset(process for (_, process), count in self.ready_of.items() if count)

    def ready_replicas(self, process: str) -> int:
        """Return the ready Pods of a process in all pools."""
        return sum(count for (_, owner), count in self.ready_of.items() if owner == process)

    def complete(self, process: str, pools: Iterable[Pool]) -> bool:
        """Return whether every pool has its wanted Pods of a process ready and up to date."""
        return all(
            self.ready_of.get((pool.name, process), 0) >= pool.replicas
            and _is_rolled_out(self.deployed.get((pool.name, process)), pool.replicas)
            for pool in pools
        )

    def pool_status(self, pools: Iterable[Pool]) -> tuple[PoolStatus, ...]:
        """Return the counts of each pool as the status shows them."""
        return tuple(
            PoolStatus(
                name=pool.name,
                accelerator=pool.accelerator,
                replicas=self.existing.get(pool.name, 0),
                ready_replicas=self.ready.get(pool.name, 0),
            )
            for pool in pools
        )


def take(children: Iterable[Manifest], pods: Iterable[Manifest]) -> Census:
    """Count Pods and Deployments."""
    existing: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    ready_of: Counter[tuple[str, str]] = Counter()
    processes = set()
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        pool, process = labels.get(LABEL_POOL, ""), labels.get(LABEL_PROCESS, "")
        processes.add(process)
        if has_ended(pod):
            continue
        existing[pool] += 1
        if is_ready(pod):
            ready[pool] += 1
            ready_of[pool, process] += 1
    deployed = {
        (labels.get(LABEL_POOL, ""), labels.get(LABEL_PROCESS, "")): child
        for child in children
        if child["kind"] == "Deployment" and "deletionTimestamp" not in child["metadata"]
        for labels in (child["metadata"].get("labels", {}),)
    }
    return Census(
        existing=existing,
        ready=ready,
        ready_of=ready_of,
        processes=frozenset(processes),
        deployed=deployed,
    )


def has_ended(pod: Manifest) -> bool:
    """Return whether a Pod's containers have run for the last time."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def _is_rolled_out(deployment: Manifest | None, replicas: int) -> bool:
    if deployment is None:
        return replicas == 0
    status = deployment.get("status", {})
    generation = deployment["metadata"].get("generation", 0)
    return (
        bool(status.get("observedGeneration", 0) >= generation)
        and status.get("updatedReplicas", 0) >= replicas
    )

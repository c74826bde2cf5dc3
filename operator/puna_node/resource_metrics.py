"""`/metrics/resource`: CPU and memory of the node and its Pods, as metrics-server reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psutil

from puna_node.manifest import PodKey


@dataclass(frozen=True, slots=True)
class ContainerProcess:
    """A running container and its first process."""

    key: PodKey
    container: str
    pid: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container's processes use."""

    process: ContainerProcess
    cpu_seconds: float
    memory_bytes: int


def measure(processes: Iterable[ContainerProcess]) -> list[Usage]:
    """Usage of each container: its first process and all that came from it."""
    found = []
    for entry in processes:
        cpu, memory = 0.0, 0
        try:
            first = psutil.Process(entry.pid)
            family = [first, *first.children(recursive=True)]
        except psutil.Error:
            continue
        for process in family:
            try:
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss
            except psutil.Error:
                continue
        found.append(Usage(entry, cpu, memory))
    return found


def resource_metrics(usages: list[Usage]) -> str:
    """Text in the Prometheus format."""
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
    stamp = int(time.time() * 1000)
    lines = [
        "# TYPE node_cpu_usage_seconds_total counter",
        f"node_cpu_usage_seconds_total {busy:.3f} {stamp}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {memory.total - memory.available} {stamp}",
        *_containers(usages, stamp),
        *_pods(usages, stamp),
        "# TYPE resource_scrape_error gauge",
        "resource_scrape_error 0",
    ]
    return "\n".join(lines) + "\n"


def _containers(usages: list[Usage], stamp: int) -> Iterator[str]:
    yield "# TYPE container_cpu_usage_seconds_total counter"
    for usage in usages:
        labels = _labels(usage.process.key, usage.process.container)
        yield f"container_cpu_usage_seconds_total{labels} {usage.cpu_seconds:.3f} {stamp}"
    yield "# TYPE container_memory_working_set_bytes gauge"
    for usage in usages:
        labels = _labels(usage.process.key, usage.process.container)
        yield f"container_memory_working_set_bytes{labels} {usage.memory_bytes} {stamp}"
    yield "# TYPE container_start_time_seconds gauge"
    for usage in usages:
        labels = _labels(usage.process.key, usage.process.container)
        yield f"container_start_time_seconds{labels} {usage.process.started_at:.3f}"


def _pods(usages: list[Usage], stamp: int) -> Iterator[str]:
    totals: dict[PodKey, tuple[float, int]] = {}
    for usage in usages:
        cpu, memory = totals.get(usage.process.key, (0.0, 0))
        totals[usage.process.key] = (cpu + usage.cpu_seconds, memory + usage.memory_bytes)
    yield "# TYPE pod_cpu_usage_seconds_total counter"
    for key, (cpu, _) in totals.items():
        yield f"pod_cpu_usage_seconds_total{_labels(key)} {cpu:.3f} {stamp}"
    yield "# TYPE pod_memory_working_set_bytes gauge"
    for key, (_, memory) in totals.items():
        yield f"pod_memory_working_set_bytes{_labels(key)} {memory} {stamp}"


def _labels(key: PodKey, container: str | None = None) -> str:
    first = f'container="{container}",' if container else ""
    return f'{{{first}namespace="{key.namespace}",pod="{key.name}"}}'

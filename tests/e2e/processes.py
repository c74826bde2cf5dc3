"""Processes of a test cluster: which they are, how they are killed and started again."""

from __future__ import annotations

import sys
import time

import psutil

from puna_cli.cluster.launch import ensure_running
from puna_cli.cluster.processes import find, forget, running
from puna_cli.cluster.processes import stop as stop_processes
from puna_cli.cluster.workload import operator as operator_program
from tests.cluster import LocalCluster, eventually
from tests.e2e.objects import Manifest


def operator_process(cluster: LocalCluster) -> psutil.Process:
    """The operator, which has to run."""
    record = running(cluster.paths).get("operator")
    process = find(record) if record is not None else None
    assert process is not None, f"the operator has ended:\n{cluster.logs()}"
    return process


def kill_operator(cluster: LocalCluster) -> None:
    """SIGKILL; it stays away."""
    process = operator_process(cluster)
    process.kill()
    eventually(lambda: "operator" not in running(cluster.paths), seconds=10)


def stop_operator(cluster: LocalCluster) -> None:
    """End the operator as `puna down` would."""
    stop_processes([operator_process(cluster)], seconds=10)
    forget(cluster.paths, "operator")


def start_operator(cluster: LocalCluster) -> None:
    """Start the operator as `puna up` would, unless it runs; does not wait."""
    environment = cluster.home.environment
    program = operator_program(cluster.paths, cluster.state, sys.executable, environment)
    ensure_running(cluster.paths, (program,), environment)


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time that a process has used, in user and system mode."""
    times = process.cpu_times()
    return times.user + times.system


def operator_cpu_over(cluster: LocalCluster, seconds: float) -> float:
    """CPU seconds that the operator uses in a span of time."""
    process = operator_process(cluster)
    before = cpu_seconds(process)
    time.sleep(seconds)
    return cpu_seconds(process) - before


def container_process(pod: Manifest, container: str) -> psutil.Process:
    """The process of a Pod's running container."""
    uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
    marks = {
        "llama-server": (pod["status"].get("podIP", "-"), "--sse-ping-interval"),
        "control": ("puna_router", "--listen=" + pod["status"].get("podIP", "-"), "serve"),
        "envoy": (f"/{uid[:8]}/", "--config-path"),
        "picker": ("--listen=" + pod["status"].get("podIP", "-"), "--guarded"),
        "trainer": ("puna_trainer", f"/{uid[:8]}/"),
    }[container]
    matching = [
        process
        for process in psutil.process_iter(["cmdline"])
        if all(any(mark in word for word in process.info["cmdline"] or ()) for mark in marks)
    ]
    # A picker's guard has the picker's command line.
    parents = {process.ppid() for process in matching}
    matching = [process for process in matching if process.pid not in parents]
    # Whoever waits for a process has its command line nowhere, so only the process itself is left.
    assert len(matching) == 1, f"{container} of {name}: {[p.info['cmdline'] for p in matching]}"
    return matching[0]

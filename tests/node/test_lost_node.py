"""A node that is lost: its Pods leave the slices of their Service."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from puna_cli.cluster.control_plane import controllers
from puna_node.host import local_address
from tests.cluster import ControlPlane, binaries, eventually, start_control_plane
from tests.node.agents import Client, is_ready, new_agent, pod, pod_spec, shell, timed

pytestmark = pytest.mark.api

IMPATIENT = (
    "--controllers=*",
    "--node-monitor-period=0.5s",
    "--node-monitor-grace-period=3s",
    "--node-startup-grace-period=10s",
)


@pytest.fixture
def impatient_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that gives a node up after 3 s, with the controllers of slices."""
    plane = start_control_plane(tmp_path / "plane")
    with running_controllers(plane, tmp_path / "controllers.log"):
        yield plane
    plane.stop()


@contextmanager
def running_controllers(plane: ControlPlane, log: Path) -> Iterator[None]:
    programs = controllers(plane.paths, binaries().folder)
    started = []
    with log.open("wb") as out:
        for program in programs:
            kept = [a for a in program.argv if not a.startswith("--controllers=")]
            extra = IMPATIENT if program.name == "controller-manager" else ()
            started.append(subprocess.Popen([*kept, *extra], stdout=out, stderr=out))
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_pods_of_a_lost_node_leave_the_slices_and_come_back(
    impatient_plane: ControlPlane, folder: Path, models: Path
) -> None:
    plane = impatient_plane
    address = local_address("192.0.2.1", 9)
    agent = new_agent(
        plane,
        folder,
        models,
        name="node-lost",
        # Slices refuse loopback addresses.
        address=address,
        pod_network=None,
        serving_certificate=None,
        serving_key=None,
        lease_seconds=1,
    )
    ns = plane.new_namespace()
    eventually(lambda: plane.get(f"/api/v1/namespaces/{ns}/serviceaccounts/default"))
    client = Client(plane, ns)
    agent.start()
    try:
        agent.wait_ready()
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "namespace": ns},
            "spec": {"selector": {"app": "pod"}, "ports": [{"port": 80}]},
        }
        container = shell("exec sleep 600", ports=[{"containerPort": 20555}])
        plane.apply(service, pod(ns, pod_spec(agent.node, container)))
        client.wait(is_ready)
        eventually(lambda: readiness(plane, ns) == [True], what="a ready slice")
        agent.kill()
        began = time.monotonic()
        eventually(lambda: readiness(plane, ns) == [False], seconds=30, what="not ready")
        timed("agent killed -> slice not ready", began)
        assert len(agent.processes()) == 1
        agent.start()
        eventually(lambda: readiness(plane, ns) == [True], seconds=30, what="ready again")
        client.wait(is_ready)
    finally:
        agent.end()


def readiness(plane: ControlPlane, ns: str) -> list[bool]:
    found = plane.get(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices") or {}
    return [
        endpoint["conditions"]["ready"]
        for entry in found.get("items", ())
        for endpoint in entry.get("endpoints") or ()
    ]

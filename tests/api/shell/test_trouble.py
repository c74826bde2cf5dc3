"""What the operator does when something refuses, hangs, is missing, or kills it."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from puna.api.crd import custom_resource_definitions
from puna.core.naming import endpoint_labels, labels
from puna.core.plan import Manifest
from tests.api.shell.conftest import Team, new_team
from tests.cluster import ControlPlane, eventually, start_control_plane
from tests.operator_process import OperatorProcess, operator, start_operator

pytestmark = pytest.mark.api


def test_a_refused_child_is_told_and_keeps_the_cpu_idle(
    team: Team, running: OperatorProcess
) -> None:
    policy = deny_deployments(team)
    team.plane.apply(*policy)
    eventually(lambda: refuses(team), what="the policy to work")
    team.endpoint()
    eventually(lambda: team.condition("Ready")[1] == "ApplyRejected", what=running.text())
    assert "no Deployments today" in team.condition("Ready")[2]
    assert {"Service", "ConfigMap"} <= {kind for kind, _ in team.children()}
    time.sleep(1)
    before, text = sum(counts(running, "puna_reconcile_total")), running.text()
    cpu = running.cpu_seconds()
    time.sleep(5)
    assert sum(counts(running, "puna_reconcile_total")) - before <= 2
    assert running.text() == text
    # Whoever tries without a pause uses ten times as much.
    assert running.cpu_seconds() - cpu <= 0.5
    assert 'kind="LLMEndpoint",result="rejected"' in running.metrics()
    team.plane.kubectl("delete", "validatingadmissionpolicybinding", policy[1]["metadata"]["name"])
    eventually(lambda: not refuses(team), what="the policy to be gone")
    team.endpoint(nodeSelector={"a": "b"})
    eventually(team.deployment, what=running.text())
    eventually(lambda: "works again" in running.text())


def counts(running: OperatorProcess, name: str) -> list[float]:
    """What a series has counted, for each of its labels."""
    lines = running.metrics().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{")]


def deny_deployments(team: Team) -> list[Manifest]:
    name = f"no-deployments-{team.namespace}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": ["apps"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["deployments"],
                        }
                    ]
                },
                "validations": [{"expression": "false", "message": "no Deployments today"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            },
        },
    ]


def refuses(team: Team) -> bool:
    try:
        team.plane.kubectl(
            *("create", "deployment", "probe", "--image=x", "--dry-run=server"),
            *("-n", team.namespace),
        )
    except Exception as error:  # noqa: BLE001 - kubectl's own words are judged
        return "no Deployments today" in str(error)
    return False


def test_a_router_that_hangs_does_not_hold_up_others(team: Team, running: OperatorProcess) -> None:
    address = f"127.{random.randrange(80, 250)}.{random.randrange(1, 250)}.1"
    with silent_listener(address, 9090):
        team.endpoint("stuck")
        eventually(lambda: team.deployment("stuck"), what=running.text())
        marks = labels(instance="puna-router", component="router")
        make_pod(team, "router", marks, address=address)
        name = eventually(lambda: team.deployment("stuck"))["metadata"]["name"]
        marks = endpoint_labels("stuck", "llama-server")
        make_pod(team, f"{name}-1", marks, address=address, owner=f"{name}-5d8f")
        eventually(lambda: is_connected(address, 9090), what=running.text())
        for number in range(5):
            team.endpoint(f"quick-{number}")
            eventually(lambda name=f"quick-{number}": team.deployment(name))  # type: ignore[misc]
        assert running.health()[0] == 200


def is_connected(address: str, port: int) -> bool:
    """Whether anybody has a connection to an address."""
    return any(connection.raddr == (address, port) for connection in psutil.net_connections("tcp4"))


def make_pod(
    team: Team, name: str, marks: dict[str, str], *, address: str, owner: str = ""
) -> None:
    """Make a Pod that says it is ready."""
    metadata: Manifest = {"name": name, "namespace": team.namespace, "labels": marks}
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "0"}
        ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    team.apply("ServiceAccount", "default")
    team.plane.apply(pod | {"spec": {"containers": [{"name": "a", "image": "a"}]}})
    ready = {"type": "Ready", "status": "True"}
    status = {"podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
    patch = str({"status": status}).replace("'", '"')
    team.plane.kubectl(
        *("patch", "pod", name, "-n", team.namespace),
        *("--subresource=status", "--type=merge", f"--patch={patch}"),
    )


@contextmanager
def silent_listener(address: str, port: int) -> Iterator[None]:
    """Accept connections and never say a word."""
    with socket.socket() as listener:
        listener.bind((address, port))
        listener.listen(64)
        yield


def test_an_operator_without_its_resources_waits_for_them_and_ends_at_once_when_told(
    tmp_path: Path,
) -> None:
    plane = start_control_plane(tmp_path / "plane")
    try:
        running = start_operator(plane.kubeconfig, tmp_path / "puna.log")
        try:
            waiting = "there is no resource llmendpoints yet"
            eventually(lambda: waiting in running.text(), what=running.text())
            assert running.health() == (200, "ok\n")
            plane.apply(*custom_resource_definitions())
            eventually(running.is_working, what=running.text())
            assert running.text().count(waiting) == 1
            # Kubernetes waits for twice as long as this before it kills it.
            assert running.stop() == 0
            assert "traceback" not in running.text().lower()
        finally:
            running.kill()
    finally:
        plane.stop()


def test_an_operator_that_cannot_start_says_why(tmp_path: Path, team: Team) -> None:
    missing = start_operator(tmp_path / "nowhere", tmp_path / "a.log")
    assert missing.process.wait(60) == 2
    assert "nowhere" in missing.text()
    wrong = start_operator(team.plane.kubeconfig, tmp_path / "b.log", WORKERS="many")
    assert wrong.process.wait(60) == 2
    assert "PUNA_WORKERS" in wrong.text()
    taken = start_operator(team.plane.kubeconfig, tmp_path / "c.log", LISTEN="127.0.0.1:http")
    assert taken.process.wait(60) == 2
    assert "PUNA_LISTEN" in taken.text()


def test_an_operator_that_lost_its_api_server_says_so_and_recovers(tmp_path: Path) -> None:
    plane = start_control_plane(tmp_path / "plane")
    try:
        plane.apply(*custom_resource_definitions())
        with operator(plane.kubeconfig, tmp_path / "puna.log") as running:
            plane.kubectl("get", "ns")
            plane.stop()
            eventually(lambda: "Connect" in running.text(), what=running.text())
            time.sleep(3)
            tries = counts(running, "puna_watch_restarts_total")
            assert tries
            assert max(tries) < 30
            assert running.process.poll() is None
    finally:
        plane.stop()


Script = list[Callable[[Team], None]]


def script() -> Script:
    """A day in the life of a namespace."""
    return [
        lambda team: team.endpoint("a"),
        lambda team: team.endpoint("b", replicas=2),
        lambda team: team.endpoint("c", accelerator="cuda"),
        lambda team: team.endpoint("a", replicas=3),
        lambda team: delete(team, "b"),
        lambda team: team.endpoint("d", model={"uri": "file:///srv/models/d.gguf"}),
        lambda team: team.endpoint("b", nodeSelector={"x": "y"}),
        lambda team: team.endpoint("d", model={"uri": "file:///srv/models/e.gguf"}),
        lambda team: team.endpoint("b"),
        lambda team: delete(team, "c"),
    ]


def delete(team: Team, name: str) -> None:
    team.plane.kubectl("delete", "-n", team.namespace, "llme", name, "--wait=false")


def end_state(team: Team) -> list[str]:
    """Everything that is wanted in the end, without names that differ from namespace to namespace.

    Retired revisions are history: which there were depends on when they were looked at.
    """
    return sorted(
        json.dumps(
            [
                kind,
                {
                    name: value
                    for name, value in item["metadata"]["labels"].items()
                    if name not in {"puna.dev/process", "puna.dev/revision"}
                },
                sorted(owner["name"] for owner in item["metadata"]["ownerReferences"]),
                item["spec"]["replicas"] if kind == "Deployment" else None,
            ],
            sort_keys=True,
        )
        for (kind, _), item in team.children().items()
        if item["metadata"]["labels"].get("puna.dev/role") != "retired"
    )


@pytest.fixture(scope="session")
def collected(controlled_plane: ControlPlane) -> ControlPlane:
    """An API server whose garbage collector knows the custom resources."""
    definitions = custom_resource_definitions()
    controlled_plane.apply(*definitions)
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    controlled_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return controlled_plane


def run_script(team: Team, folder: Path, *, seed: int | None) -> list[str]:
    """Play the script, killing the operator at random moments if there is a seed."""
    chance = random.Random(seed)
    scope = {"WATCH_NAMESPACE": team.namespace}
    running = start_operator(team.plane.kubeconfig, folder / f"{seed}.log", **scope)
    try:
        for step in script():
            step(team)
            if seed is None:
                continue
            time.sleep(chance.random() * 0.8)
            running.kill()
            running = start_operator(team.plane.kubeconfig, folder / f"{seed}.log", **scope)
            time.sleep(chance.random() * 0.8)
        eventually(running.is_working, what=running.text())
        team.settled()
        eventually(lambda: is_as_told(team), seconds=60, what=running.text())
        team.settled()
        return end_state(team)
    finally:
        running.kill()


def is_as_told(team: Team) -> bool:
    """Whether just the endpoints of the script's end have children."""
    names = {
        item["metadata"]["labels"].get("puna.dev/endpoint")
        for (kind, _), item in team.children().items()
        if kind in {"Deployment", "Service", "ConfigMap"}
    }
    return names == {"a", "b", "d", None}


@pytest.mark.timeout(240)
def test_an_operator_killed_at_any_moment_comes_to_the_same_end(
    collected: ControlPlane, tmp_path: Path
) -> None:
    with new_team(collected) as calm, new_team(collected) as troubled:
        wanted = run_script(calm, tmp_path, seed=None)
        assert run_script(troubled, tmp_path, seed=20260301) == wanted

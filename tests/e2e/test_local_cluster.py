"""`puna up`, `status` and `down`, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from puna_cli.cluster.processes import find, running
from tests.cluster import CommandHome, binaries, command_home, eventually, start_local_cluster

pytestmark = pytest.mark.e2e

PROGRAMS = {
    *("etcd", "apiserver", "controller-manager", "scheduler"),
    *("operator", "agent", "front", "front-control"),
}


@pytest.fixture(scope="module")
def own_home() -> Iterator[CommandHome]:
    """A state folder of this module: its clusters are killed and ended."""
    with command_home() as home:
        yield home


def processes_of(home: CommandHome) -> list[str]:
    """Command lines that name the folder: every process of every cluster in it."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if str(home.folder) in line and process.status() != psutil.STATUS_ZOMBIE:
                found.append(line)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def pids(home: CommandHome, name: str) -> dict[str, int]:
    return {program: record.pid for program, record in running(home.paths(name)).items()}


def test_up_twice_starts_everything_once(own_home: CommandHome) -> None:
    cluster = start_local_cluster(own_home, name="twice")
    first = pids(own_home, "twice")
    assert first.keys() == PROGRAMS
    again = cluster.puna("up")
    assert again.returncode == 0, again.stderr
    assert "Already up" in again.stdout
    assert pids(own_home, "twice") == first
    status = cluster.puna("status")
    assert status.returncode == 0, status.stdout


def test_the_node_is_ready_and_the_front_is_this_cluster(own_home: CommandHome) -> None:
    cluster = start_local_cluster(own_home, name="twice")
    ready = cluster.kubectl(
        *("get", "node", "puna-twice", "-o"),
        "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
    )
    assert ready == "True"
    with httpx.Client(base_url=cluster.front, trust_env=False) as client:
        assert client.get("/.well-known/puna").json() == {"cluster": "twice"}
        refused = client.get("/namespaces/nobody/v1/models")
    assert refused.status_code == 503
    error = refused.json()["error"]
    assert error["reason"] == "NoRouter"
    assert error["request_id"]


def test_kubectl_runs_on_the_cluster(own_home: CommandHome) -> None:
    cluster = start_local_cluster(own_home, name="twice")
    listed = cluster.home.puna("kubectl", "--name=twice", "get", "crd", "-o", "name")
    assert "customresourcedefinition.apiextensions.k8s.io/llmendpoints.puna.dev" in listed.stdout


def test_credentials_and_logs_are_the_users_alone(own_home: CommandHome) -> None:
    paths = start_local_cluster(own_home, name="twice").paths
    assert paths.root.stat().st_mode & 0o077 == 0
    assert paths.kubeconfig.stat().st_mode & 0o077 == 0
    assert "server: https://127.0.0.1:" in paths.kubeconfig.read_text()


@pytest.mark.parametrize(
    "program", ["apiserver", "etcd", "operator", "agent", "front", "front-control"]
)
def test_status_names_what_was_killed_and_up_repairs_it(
    own_home: CommandHome, program: str
) -> None:
    cluster = start_local_cluster(own_home, name="twice")
    before = pids(own_home, "twice")
    os.kill(before[program], signal.SIGKILL)
    eventually(lambda: program not in pids(own_home, "twice") or None, what="its end")
    status = cluster.puna("status")
    assert status.returncode == 3
    assert any(line.split()[:2] == [program, "stopped"] for line in status.stdout.splitlines()), (
        status.stdout
    )
    repaired = cluster.puna("up")
    assert repaired.returncode == 0, repaired.stderr
    after = pids(own_home, "twice")
    assert after.keys() == PROGRAMS
    assert {name for name in PROGRAMS if after[name] != before[name]} == {program}
    assert cluster.puna("status").returncode == 0


def test_two_clusters_run_side_by_side(own_home: CommandHome) -> None:
    one = start_local_cluster(own_home, name="twice")
    other = start_local_cluster(own_home, name="other")
    assert one.server != other.server
    assert one.front != other.front
    one.kubectl("create", "namespace", "only-here")
    assert "only-here" not in other.kubectl("get", "namespaces", "-o", "name")
    one.kubectl("delete", "namespace", "only-here", "--wait=false")
    assert other.puna("down").returncode == 0
    assert pids(own_home, "other") == {}
    assert one.puna("status").returncode == 0


def test_down_leaves_no_process_and_up_finds_the_data_again(own_home: CommandHome) -> None:
    cluster = start_local_cluster(own_home, name="twice")
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    down = cluster.puna("down")
    assert down.returncode == 0, down.stderr
    assert processes_of(own_home) == []
    assert "not running" in cluster.puna("down").stdout
    assert cluster.puna("status").returncode == 3
    again = start_local_cluster(own_home, name="twice")
    assert (again.server, again.front) == (cluster.server, cluster.front)
    kept = json.loads(again.kubectl("get", "configmap", "kept", "-o", "json"))
    assert kept["data"] == {"a": "1"}
    assert again.puna("down", "--purge").returncode == 0
    assert not again.paths.root.exists()


def test_a_folder_without_a_program_is_an_error_that_names_it(
    own_home: CommandHome, tmp_path: Path
) -> None:
    for name in ("etcd", "kubectl", "kube-apiserver", "kube-scheduler"):
        (tmp_path / name).symlink_to(binaries().path(name))
    broken = CommandHome(own_home.folder, {**own_home.environment, "PUNA_KUBE_BIN": str(tmp_path)})
    done = broken.puna("up", "--name=broken")
    assert done.returncode == 1
    assert "no executable kube-controller-manager" in done.stderr
    assert "Traceback" not in done.stderr
    assert pids(own_home, "broken") == {}


def test_a_port_that_is_taken_is_an_error_that_names_it(own_home: CommandHome) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = own_home.puna("up", "--name=taken", f"--port={port}")
    assert done.returncode == 1
    assert f"--port {port}: another process has this port" in done.stderr
    assert pids(own_home, "taken") == {}


def test_a_program_that_cannot_start_is_named_with_its_log(
    own_home: CommandHome, tmp_path: Path
) -> None:
    for name in ("kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        (tmp_path / name).symlink_to(binaries().path(name))
    (tmp_path / "etcd").write_text("#!/bin/sh\necho no room for data >&2\nexit 1\n")
    (tmp_path / "etcd").chmod(0o755)
    broken = CommandHome(own_home.folder, {**own_home.environment, "PUNA_KUBE_BIN": str(tmp_path)})
    done = broken.puna("up", "--name=noetcd")
    assert done.returncode == 1
    assert f"etcd ended; its log {own_home.paths('noetcd').log('etcd')} ends with" in done.stderr
    assert "no room for data" in done.stderr
    assert broken.puna("down", "--name=noetcd").returncode == 0
    assert find_any(own_home, "noetcd") == []


def find_any(home: CommandHome, name: str) -> list[str]:
    return [
        program for program, record in running(home.paths(name)).items() if find(record) is not None
    ]

"""A namespace's router: a real API server, the commands of its Pod's containers, real Envoy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from puna_cli.cluster.identities import CLUSTER_CA
from puna_router.config import CONFIG_KEY, RouterState, config_digest
from puna_router.control.lingering import LINGER_SECONDS
from tests.cluster import ControlPlane
from tests.ports import free_port
from tests.router.program import endpoint, eventually
from tests.router.stub import PROCESS, Gate, Stub, Stubs, stream

pytestmark = pytest.mark.api
CHAT = "/v1/chat/completions"
PORT = 20000
DRAIN_SECONDS = "600"
"""Longer than any test waits for the end of a router."""
RULES = [
    {"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["list", "watch"]},
]


class Namespace:
    """One namespace, written to with kubectl."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.plane = plane
        self.name = name
        # The controller that would make it does not run here.
        self._apply("ServiceAccount", "default", {})

    def configure(self, name: str, document: str) -> None:
        labels = {"puna.dev/router-config": "true", "puna.dev/endpoint": name}
        self._apply("ConfigMap", f"{name}-router-config", labels, data={CONFIG_KEY: document})

    def pod(self, name: str, stub: Stub, process: str = PROCESS) -> None:
        """A llama-server's Pod that is Ready at the address of a stub."""
        self.ready_pod(name, stub, {"puna.dev/endpoint": "chat", "puna.dev/process": process})

    def ready_pod(self, name: str, stub: Stub, labels: dict[str, str]) -> None:
        """A Pod that is Ready at the address of a stub."""
        container = {"name": "llama-server", "image": "llama-server"}
        # On a node that is not there, so that its end waits for a kubelet as a real one's does.
        spec = {
            "containers": [container],
            "nodeName": "nowhere",
            "terminationGracePeriodSeconds": 30,
        }
        self._apply("Pod", name, labels, spec=spec)
        self.status(name, stub)

    def status(self, name: str, stub: Stub, ready: str = "True") -> None:
        conditions = [{"type": "Ready", "status": ready}]
        address = {"podIP": stub.host, "podIPs": [{"ip": stub.host}]}
        patch = {"status": {"phase": "Running", "conditions": conditions, **address}}
        arguments = ("--subresource=status", "--type=merge", f"--patch={json.dumps(patch)}")
        self.kubectl("patch", "pod", name, *arguments)

    def kubectl(self, *arguments: str) -> str:
        return self.plane.kubectl(f"--namespace={self.name}", *arguments)

    def account(self, folder: Path) -> None:
        """Write what a Pod finds of a ServiceAccount that may do what a router needs, no more."""
        self._apply("Role", "router", {}, rules=RULES)
        self._apply("ServiceAccount", "router", {})
        subject = {"kind": "ServiceAccount", "name": "router", "namespace": self.name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "router"}
        self._apply("RoleBinding", "router", {}, subjects=[subject], roleRef=role)
        folder.mkdir()
        (folder / "token").write_text(self.kubectl("create", "token", "router"))
        (folder / "ca.crt").write_bytes(self.plane.paths.certificate(CLUSTER_CA).read_bytes())

    def _apply(self, kind: str, name: str, labels: dict[str, str], **content: Any) -> None:
        version = "rbac.authorization.k8s.io/v1" if kind.startswith("Role") else "v1"
        metadata = {"name": name, "namespace": self.name, "labels": labels}
        self.plane.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **content})


class RouterPod:
    """Bootstrap, control and Envoy, as the containers of a router's Pod run them."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.key.write_text("secret-1\n")
        self.port, self.control_port = free_port(), free_port()
        self.site = [
            "--directory",
            str(folder / "run"),
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        namespace.account(folder / "account")
        server = urlsplit(namespace.plane.server)
        self.environment = {
            **os.environ,
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }
        self.namespace = namespace.name
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        subprocess.run([sys.executable, "-m", "puna_router", "bootstrap", *self.site], check=True)

    def start_envoy(self) -> None:
        directory = ("--directory", str(self.folder / "run"))
        self._start(
            "envoy", *directory, "--drain-seconds", DRAIN_SECONDS, "--settle-seconds", "0.5"
        )

    def start_control(self) -> None:
        self._start(
            "serve",
            *self.site,
            *("--namespace", self.namespace, "--control-port", str(self.control_port)),
            *("--service-account-directory", str(self.folder / "account")),
            *("--api-key-file", str(self.key)),
            *("--drain-seconds", DRAIN_SECONDS),
            *("--pod", "router-b", "--peers", "app.kubernetes.io/component=router"),
        )

    def share(self) -> tuple[int, int]:
        """How many routers share, and which of them this one is, as the picker is told."""
        told = json.loads((self.folder / "run" / "picker.json").read_text())
        return told["share"], told["shareIndex"]

    def _start(self, command: str, *arguments: str) -> None:
        with (self.folder / f"{command}.log").open("a") as log:
            self.processes[command] = subprocess.Popen(
                [sys.executable, "-m", "puna_router", command, *arguments],
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def ready(self) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{self.control_port}/ready").status_code
        except httpx.TransportError:
            return 0

    def state(self) -> RouterState:
        answer = httpx.get(f"http://127.0.0.1:{self.control_port}/state")
        return RouterState.model_validate_json(answer.text)

    def healthy(self) -> list[str | None]:
        found = self.state().endpoints.get("chat")
        return [backend.pod for backend in found.backends if backend.healthy] if found else []

    def close(self) -> None:
        self.client.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)


@pytest.fixture
def where(control_plane: ControlPlane, namespace: str) -> Namespace:
    return Namespace(control_plane, namespace)


@pytest.fixture
def pod(tmp_path: Path, where: Namespace) -> Iterator[RouterPod]:
    with ExitStack() as stack:
        started = RouterPod(tmp_path, where)
        stack.callback(started.close)
        started.start_envoy()
        started.start_control()
        eventually(lambda: started.ready() == 200, 60)
        yield started


def test_documents_and_pods_reach_envoy_and_leave_it(
    where: Namespace, pod: RouterPod, stubs: Stubs
) -> None:
    first, second = stubs.start(), stubs.start(host="127.0.0.2")
    second.kill()
    second.port = first.port
    second.start()
    document = json.dumps(endpoint(port=first.port))
    where.configure("chat", document)
    eventually(lambda: "chat" in pod.state().endpoints)
    assert config_digest(document) == pod.state().endpoints["chat"].digest
    assert pod.client.post(CHAT, json={}).json()["error"]["reason"] == "no_healthy_endpoint"

    where.pod("one", first)
    eventually(lambda: pod.healthy() == ["one"])
    assert pod.client.post(CHAT, json={}).status_code == 200
    assert first.requests[-1].header("authorization") == "Bearer secret-1"

    where.pod("two", second)
    eventually(lambda: pod.healthy() == ["one", "two"])
    where.status("two", second, ready="False")
    eventually(lambda: pod.healthy() == ["one"])
    where.status("two", second)
    eventually(lambda: pod.healthy() == ["one", "two"])
    # Still Ready, still there, but on its way out.
    where.kubectl("delete", "pod", "one", "--wait=false")
    eventually(lambda: pod.healthy() == ["two"])
    before = len(first.requests)
    for _ in range(50):
        assert pod.client.post(CHAT, json={}).status_code == 200
    assert before == len(first.requests)

    pod.key.write_text("secret-2\n")
    pod.client.post(CHAT, json={})
    eventually(lambda: pod.client.post(CHAT, json={}).is_success and _key(second) == "secret-2")

    for host in ("chat", f"chat.{where.name}", f"chat.{where.name}.svc.cluster.local:80"):
        answer = pod.client.post(CHAT, json={"model": "gpt-4"}, headers={"host": host})
        assert answer.status_code == 200
    elsewhere = {"host": "chat.elsewhere.svc"}
    assert pod.client.post(CHAT, json={"model": "gpt-4"}, headers=elsewhere).status_code == 404

    where.configure("chat", '{"name": "chat", "port": 0}')
    eventually(lambda: pod.state().endpoints["chat"].phase == "Rejected")
    state = pod.state().endpoints["chat"]
    assert "port: Input should be greater than or equal to 1" in (state.message or "")
    assert config_digest(document) == state.digest
    assert pod.client.post(CHAT, json={}).status_code == 200

    where.kubectl("delete", "configmap", "chat-router-config")
    eventually(lambda: "chat" not in pod.state().endpoints)
    assert pod.client.get("/v1/models").json()["data"] == []


def _key(stub: Stub) -> str:
    return (stub.requests[-1].header("authorization") or "").removeprefix("Bearer ")


def test_a_document_that_comes_back_at_once_was_never_gone_for_clients(
    where: Namespace, pod: RouterPod, stubs: Stubs
) -> None:
    stub = stubs.start()
    document = json.dumps(endpoint(port=stub.port))
    where.configure("chat", document)
    where.pod("one", stub)
    eventually(lambda: pod.healthy() == ["one"])
    where.kubectl("delete", "configmap", "chat-router-config")
    where.configure("chat", document)
    back = time.monotonic()
    while time.monotonic() < back + LINGER_SECONDS * 1.5:
        assert pod.client.post(CHAT, json={}).status_code == 200


def test_a_control_process_that_starts_again_disturbs_nothing(
    where: Namespace, pod: RouterPod, stubs: Stubs
) -> None:
    gate = Gate()
    stub = stubs.start(stream(60, 0.01, gate))
    where.configure("chat", json.dumps(endpoint(port=stub.port)))
    where.pod("one", stub)
    eventually(lambda: pod.healthy() == ["one"])
    with pod.client.stream("POST", CHAT, json={"stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        files = {path: path.stat().st_mtime_ns for path in (pod.folder / "run").glob("*/*.json")}
        pod.processes["serve"].kill()
        pod.processes["serve"].wait(10)
        # Bad news while nobody watched: the good document goes on.
        where.configure("chat", "{}")
        pod.start_control()
        eventually(lambda: pod.ready() == 200, 60)
        assert pod.state().endpoints["chat"].phase == "Rejected"
        assert pod.state().endpoints["chat"].digest is not None
        gate.open()
        text = "\n".join(lines)
    assert text.count('"token"') == 59
    assert files == {path: path.stat().st_mtime_ns for path in files}


def test_ready_routers_share_what_they_have(where: Namespace, pod: RouterPod, stubs: Stubs) -> None:
    stub = stubs.start()
    assert pod.share() == (1, 0)
    for name in ("router-a", "router-c"):
        where.ready_pod(name, stub, {"app.kubernetes.io/component": "router"})
    eventually(lambda: pod.share() == (3, 1))
    where.status("router-a", stub, ready="False")
    eventually(lambda: pod.share() == (2, 0))
    where.kubectl("delete", "pod", "router-c", "--wait=false")
    eventually(lambda: pod.share() == (1, 0))


def test_a_pod_that_ends_fails_its_readiness_and_lets_requests_end(
    where: Namespace, pod: RouterPod, stubs: Stubs
) -> None:
    gate = Gate()
    stub = stubs.start(stream(40, 0.01, gate))
    where.configure("chat", json.dumps(endpoint(port=stub.port)))
    where.pod("one", stub)
    eventually(lambda: pod.healthy() == ["one"])
    with pod.client.stream("POST", CHAT, json={"stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        for process in pod.processes.values():
            process.terminate()
        eventually(lambda: pod.ready() == 503, pause=0.01)
        # Who has not heard of it yet is still served.
        with httpx.Client(base_url=str(pod.client.base_url)) as late:
            assert late.get("/health").status_code == 200
        gate.open()
        text = "\n".join(lines)
    assert text.count('"token"') == 39
    assert [process.wait(30) for process in pod.processes.values()] == [0, 0]

"""A node agent as a process, and the Pods that tests give it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from puna_node.config import AgentConfig, Profile
from puna_node.single import running_agent
from tests.cluster import ControlPlane, eventually
from tests.ports import free_port

Manifest = dict[str, Any]
IMAGE_LLAMA = "example.test/llama-server"
IMAGE_SHELL = "example.test/shell"
IMAGE_PYTHON = "example.test/python"


@dataclass
class AgentProcess:
    """`python -m puna_node` and its node."""

    plane: ControlPlane
    config: AgentConfig
    config_file: Path
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def node(self) -> str:
        """Name of its node."""
        return self.config.node_name

    def start(self) -> None:
        """Start the agent."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "puna_node", "--config", str(self.config_file)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the control plane lets Pods run on the node."""
        eventually(self._is_ready, what=f"node {self.node} ready: {self.log.read_text()}")

    def start_again(self) -> None:
        """Start an agent whose node is known, and wait until its endpoint answers."""
        self.start()
        eventually(self._listens, what=f"endpoint: {self.log.read_text()}")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.config.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the agent alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM to the agent alone; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=15)

    def stop_pods(self) -> subprocess.CompletedProcess[str]:
        """`--stop-pods` of the command line."""
        return subprocess.run(
            [
                *(sys.executable, "-m", "puna_node", "--config", str(self.config_file)),
                *("--stop-pods", "--grace", "1"),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def end(self) -> None:
        """Leave nothing behind."""
        self.stop_pods()
        if self.process is not None:
            self.process.wait(timeout=15)
        assert running_agent(Path(self.config.directory)) is None
        with contextlib.suppress(Exception):
            self.plane.kubectl("delete", "node", self.node, "--wait=false")
        left = self.processes()
        assert left == [], f"left behind: {left}"

    def processes(self) -> list[psutil.Process]:
        """Processes of its Pods."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                text = process.environ().get("PUNA_TERMINATION_LOG", "")
                if text.startswith(str(Path(self.config.directory).resolve()) + os.sep):
                    found.append(process)
        return found

    def _is_ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(self.log.read_text())
        node = self.plane.get(f"/api/v1/nodes/{self.node}")
        if node is None:
            return False
        ready = any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in node["status"].get("conditions", ())
        )
        taints = [taint["key"] for taint in node["spec"].get("taints", ())]
        return ready and "node.kubernetes.io/not-ready" not in taints


def new_agent(
    plane: ControlPlane, folder: Path, models: Path, *, name: str, **settings: Any
) -> AgentProcess:
    """An agent that is not started yet."""
    node_address = "127.0.0.1"
    values: dict[str, Any] = {
        "node_name": name,
        "kubeconfig": str(plane.user_kubeconfig(f"system:node:{name}", "system:nodes")),
        "directory": str(folder / "agent"),
        "tainted": False,
        "address": node_address,
        "pod_network": "127.77.0.0/16",
        # A fixed one: an agent that comes back is found where it was.
        "port": free_port(),
        "serving_certificate": str(plane.paths.certificate("node-server")),
        "serving_key": str(plane.paths.key("node-server")),
        "client_ca": str(plane.paths.certificate("ca")),
        "allowed_host_paths": (str(models),),
        "lease_seconds": 2,
        "volume_root": str(folder / "claims"),
        "profiles": (
            Profile(
                image=IMAGE_LLAMA,
                run=(sys.executable, "-m", "puna_node.llama_server"),
                drain_slots=True,
            ),
            Profile(image=IMAGE_SHELL, run=("/bin/sh", "-c"), exec_probes=True),
            Profile(image=IMAGE_PYTHON, command=("python",), run=(sys.executable,)),
        ),
    }
    config = AgentConfig(**(values | settings))
    config_file = folder / "agent.json"
    config_file.write_text(config.model_dump_json(by_alias=True))
    return AgentProcess(plane, config, config_file, folder / "agent.log")


def pod_spec(node: str, *containers: Manifest, **spec: Any) -> Manifest:
    """Spec of a Pod for one node."""
    return {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "containers": list(containers),
        **spec,
    }


def shell(script: str, **container: Any) -> Manifest:
    """A container that runs a shell script."""
    return {"name": "main", "image": f"{IMAGE_SHELL}:1", "args": [script], **container}


def llama(model: Path, *, port: int = 20001, slots: int = 2, **container: Any) -> Manifest:
    """A llama-server as the operator renders it."""
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    return {
        "name": "llama-server",
        "image": f"{IMAGE_LLAMA}:1",
        "args": [
            *("--model", f"/models/{model.name}"),
            *("--host", "$(POD_IP)", "--port", str(port)),
            *("--parallel", str(slots), "--ctx-size", str(4096 * slots)),
            *("--threads", "1", "--batch-size", "512", "--ubatch-size", "512"),
            *("--cache-ram", "0", "--fit", "off", "--no-ui", "--metrics", "--slots"),
            *("--api-key-file", "/etc/puna/backend-key/key"),
        ],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": port}],
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 300},
        "readinessProbe": {**probe, "periodSeconds": 2},
        "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 5},
        "volumeMounts": [
            {"name": "models", "mountPath": "/models"},
            {"name": "backend-key", "mountPath": "/etc/puna/backend-key"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **container,
    }


def llama_volumes(models: Path) -> list[Manifest]:
    """Volumes of `llama`."""
    return [
        {"name": "models", "hostPath": {"path": str(models)}},
        {"name": "backend-key", "secret": {"secretName": "backend-key"}},
    ]


def backend_key(namespace: str) -> Manifest:
    """Secret of `llama`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "backend-key", "namespace": namespace},
        "stringData": {"key": "key-of-the-backend"},
    }


def pod(namespace: str, spec: Manifest, name: str = "pod") -> Manifest:
    """A Pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": spec,
    }


def deployment(namespace: str, spec: Manifest, *, replicas: int = 1, name: str = "d") -> Manifest:
    """A Deployment."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@dataclass(frozen=True)
class Client:
    """Reads Pods of a namespace."""

    plane: ControlPlane
    namespace: str

    def pod(self, name: str = "pod") -> Manifest | None:
        """A Pod by name."""
        return self.plane.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}")

    def pods(self) -> list[Manifest]:
        """All Pods."""
        found = self.plane.get(f"/api/v1/namespaces/{self.namespace}/pods")
        return list((found or {}).get("items", ()))

    def wait(
        self, fact: Callable[[Manifest], Any], name: str = "pod", *, seconds: float = 30
    ) -> Manifest:
        """The Pod as soon as the fact holds."""
        seen: list[Any] = [None]

        def look() -> Manifest | None:
            found = self.pod(name)
            seen[0] = found and found.get("status")
            return found if found is not None and fact(found) else None

        try:
            return eventually(look, seconds=seconds)
        except AssertionError:
            raise AssertionError(json.dumps(seen[0], indent=1)) from None

    def gone(self, name: str = "pod", *, seconds: float = 30) -> None:
        """Wait until the Pod's object is gone."""
        eventually(lambda: self.pod(name) is None, seconds=seconds, what=f"{name} gone")


def condition(manifest: Manifest, kind: str) -> str | None:
    """Status of a condition."""
    conditions = manifest.get("status", {}).get("conditions", ())
    return next((c["status"] for c in conditions if c["type"] == kind), None)


def is_ready(manifest: Manifest) -> bool:
    """Whether a Pod is Ready."""
    return condition(manifest, "Ready") == "True"


def container_state(manifest: Manifest, name: str = "main") -> Manifest:
    """State of a container, empty before the node has reported one."""
    status = manifest.get("status", {})
    for entry in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
        if entry["name"] == name:
            state: Manifest = entry["state"]
            return state
    return {}


def container_status(manifest: Manifest, name: str = "main") -> Manifest:
    """Status of a container."""
    status = manifest["status"]
    entries = status.get("containerStatuses", []) + status.get("initContainerStatuses", [])
    found: Manifest = next(entry for entry in entries if entry["name"] == name)
    return found


def restarts(manifest: Manifest, name: str = "main") -> int:
    """How often a container was started again; 0 before the node has reported anything."""
    entries = manifest.get("status", {}).get("containerStatuses", [])
    return sum(entry["restartCount"] for entry in entries if entry["name"] == name)


def waiting_reason(manifest: Manifest, name: str = "main") -> str | None:
    """Reason why a container waits."""
    reason: str | None = (container_state(manifest, name).get("waiting") or {}).get("reason")
    return reason


def processes_running(script_marker: str) -> list[psutil.Process]:
    """Processes with the marker on their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(script_marker in part for part in process.cmdline()):
                found.append(process)
    return found


def signal_process(pid: int, number: signal.Signals) -> None:
    """Send a signal."""
    os.kill(pid, number)


def timed(what: str, began: float) -> float:
    """Print and return the seconds since then."""
    seconds = time.monotonic() - began
    print(f"{what}: {seconds * 1000:.0f} ms")  # noqa: T201 - figures are what is looked for
    return seconds

"""A namespace's router before a real API server, written to without kubectl."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from puna_cli.cluster.identities import CLUSTER_CA
from puna_router.config import CONFIG_KEY
from puna_router.control.binary import picker_arguments
from tests.bench.processors import ROUTER_CORE, pin
from tests.cluster import ControlPlane, start_control_plane
from tests.ports import free_port
from tests.router.program import eventually
from tests.router.stub import Stub
from tests.router.test_namespace import Namespace, RouterPod

HOSTS = ("127.0.0.1", "127.0.0.2")
"""Addresses of the two Pods of the endpoint, which share a port."""


@dataclass(frozen=True, slots=True)
class NamespaceRouter:
    """The router, and a client of the API server that writes its endpoint's document."""

    url: str
    directory: Path
    _client: httpx.Client
    _path: str

    def write(self, document: dict[str, Any]) -> None:
        """Write the endpoint's document."""
        answer = self._client.patch(
            self._path,
            content=json.dumps({"data": {CONFIG_KEY: json.dumps(document)}}),
            headers={"content-type": "application/merge-patch+json"},
        )
        answer.raise_for_status()


@contextmanager
def namespace_router(
    document: dict[str, Any], processes: tuple[str, ...]
) -> Iterator[NamespaceRouter]:
    """A router whose endpoint has a Ready Pod for each process hash."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puna-bench-")))
        plane = start_control_plane(folder / "plane")
        stack.callback(plane.stop)
        where = Namespace(plane, plane.new_namespace())
        (folder / "pod").mkdir()
        pod = RouterPod(folder / "pod", where)
        stack.callback(pod.close)
        pod.start_envoy()
        pod.start_control()
        picker = subprocess.Popen(
            picker_arguments(folder / "pod" / "run", "127.0.0.1", free_port()),
            stderr=subprocess.DEVNULL,
        )
        stack.callback(picker.wait, 10)
        stack.callback(picker.terminate)
        where.configure("chat", json.dumps(document))
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        for host, process in zip(HOSTS, processes, strict=True):
            where.pod(f"pod-{process}", Stub(loop, host=host), process)
        eventually(lambda: pod.ready() == httpx.codes.OK)
        eventually(lambda: len(pod.healthy()) == len(processes))
        for running in (picker, *pod.processes.values()):
            pin(running.pid, ROUTER_CORE)
        client = stack.enter_context(_administrator(plane))
        path = f"/api/v1/namespaces/{where.name}/configmaps/chat-router-config"
        yield NamespaceRouter(str(pod.client.base_url), folder / "pod" / "run", client, path)


def _administrator(plane: ControlPlane) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(plane.paths.certificate(CLUSTER_CA)))
    context.load_cert_chain(plane.paths.certificate("admin"), plane.paths.key("admin"))
    return httpx.Client(base_url=plane.server, verify=context, timeout=10, trust_env=False)

"""Secrets with API keys in a namespace: a real API server, a Pod's rights, real Envoy."""

from __future__ import annotations

import json
import signal
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster import ControlPlane
from tests.router.program import endpoint, eventually
from tests.router.stub import Gate, Stub, Stubs, stream
from tests.router.test_keys import CHAT, UNKNOWN, UNREAD, error, key, text_of
from tests.router.test_namespace import Namespace, RouterPod

pytestmark = pytest.mark.api
SECRET = "chat-keys"


class Keyed:
    """A namespace with endpoint `chat`, whose keys lie in Secret `chat-keys`, and its router."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path, stub: Stub) -> None:
        self.stub = stub
        self.where = Namespace(plane, namespace)
        self.pod = RouterPod(folder, self.where)
        self.document = endpoint(port=stub.port, access={"secret": SECRET})
        self.where.configure("chat", json.dumps(self.document))
        self.where.pod("one", stub)

    def may_read(self, *names: str) -> None:
        """Let the router read these Secrets and no other."""
        metadata = {"name": "router-secrets", "namespace": self.where.name}
        rule = {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "list", "watch"],
            "resourceNames": list(names),
        }
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": "router", "namespace": self.where.name}
        role = {"apiGroup": group, "kind": "Role", "name": "router-secrets"}
        common = {"apiVersion": f"{group}/v1", "metadata": metadata}
        self.where.plane.apply(
            {**common, "kind": "Role", "rules": [rule]},
            {**common, "kind": "RoleBinding", "subjects": [subject], "roleRef": role},
        )

    def give(self, **members: Any) -> None:
        """Replace the members of the Secret."""
        data = {
            name: content if isinstance(content, str) else json.dumps(content)
            for name, content in members.items()
        }
        encoded = {name: b64encode(text.encode()).decode() for name, text in data.items()}
        manifest = {"apiVersion": "v1", "kind": "Secret", "data": encoded}
        self.where.plane.apply(
            {**manifest, "metadata": {"name": SECRET, "namespace": self.where.name}}
        )

    def ask(self, name: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {text_of(name)}"}
        return self.pod.client.post(CHAT, json={}, headers=headers)

    def opens(self, name: str) -> bool:
        return self.ask(name).status_code == 200

    def problem(self) -> str:
        return self.pod.state().endpoints["chat"].access or ""


@pytest.fixture
def keyed(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, stubs: Stubs
) -> Iterator[Keyed]:
    with ExitStack() as stack:
        started = Keyed(control_plane, namespace, tmp_path, stubs.start(stream(1, 0)))
        stack.callback(started.pod.close)
        started.pod.start_envoy()
        started.pod.start_control()
        eventually(lambda: started.pod.ready() == 200, 60)
        eventually(lambda: started.pod.healthy() == ["one"])
        yield started


def test_a_secret_opens_and_closes_an_endpoint(keyed: Keyed) -> None:
    # Neither readable nor there.
    eventually(lambda: "cannot be read: 403" in keyed.problem())
    assert error(keyed.ask("alice")) == UNREAD
    keyed.may_read(SECRET)
    eventually(lambda: f"there is no Secret {SECRET}" in keyed.problem())
    assert error(keyed.ask("alice")) == UNREAD

    keyed.give(alice=key("alice"), carol="puna_pasted-by-mistake")
    eventually(lambda: keyed.opens("alice"))
    assert f"Secret {SECRET}, member carol: document: Invalid JSON" in keyed.problem()
    assert "pasted" not in keyed.problem()

    keyed.give(bob=key("bob"))
    eventually(lambda: keyed.opens("bob"))
    assert error(keyed.ask("alice")) == UNKNOWN
    assert keyed.problem() == ""

    keyed.where.kubectl("delete", "secret", SECRET)
    eventually(lambda: keyed.ask("bob").status_code == 503)


def test_a_stream_survives_the_end_of_its_key(keyed: Keyed) -> None:
    keyed.may_read(SECRET)
    keyed.give(alice=key("alice"))
    eventually(lambda: keyed.opens("alice"))
    begun = threading.Event()

    def read() -> str:
        parts = []
        headers = {"authorization": f"Bearer {text_of('alice')}"}
        client, body = keyed.pod.client, {"stream": True}
        with client.stream("POST", CHAT, json=body, headers=headers) as answer:
            for part in answer.iter_text():
                parts.append(part)
                begun.set()
        return "".join(parts)

    gate = Gate()
    keyed.stub.answer = stream(40, 0.01, gate)
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(read)
        assert begun.wait(30)
        keyed.stub.answer = stream(1, 0)
        keyed.give()
        eventually(lambda: keyed.ask("alice").status_code == 401)
        gate.open()
        assert text.result(20).count('"token"') == 40


def test_envoy_checks_keys_while_nobody_else_runs(keyed: Keyed) -> None:
    keyed.may_read(SECRET)
    keyed.give(alice=key("alice"))
    eventually(lambda: keyed.opens("alice"))
    control = keyed.pod.processes["serve"]
    control.kill()
    control.wait(10)
    assert keyed.opens("alice")
    assert error(keyed.ask("bob")) == UNKNOWN
    # Who was revoked meanwhile is found out, and nobody else is shut out for a moment.
    keyed.give(bob=key("bob"))
    keyed.pod.start_control()
    eventually(lambda: keyed.opens("bob"), pause=0.01)
    assert error(keyed.ask("alice")) == UNKNOWN


def test_a_control_process_that_starts_again_closes_nothing_meanwhile(keyed: Keyed) -> None:
    keyed.may_read(SECRET)
    keyed.give(alice=key("alice"))
    eventually(lambda: keyed.opens("alice"))
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.wait(0.01):
            seen.append(keyed.ask("alice").status_code)

    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(stop.set)
        asking = pool.submit(ask)
        keyed.pod.processes["serve"].send_signal(signal.SIGKILL)
        keyed.pod.processes["serve"].wait(10)
        keyed.pod.start_control()
        eventually(lambda: keyed.pod.ready() == 200, 60)
        eventually(lambda: keyed.pod.state().endpoints["chat"].access is None)
        stop.set()
        asking.result(10)
    # A key has 30 requests at once and 2 a second after that.
    assert set(seen) <= {200, 429}

"""The router's processes: how they begin, what hinders them, how they end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from puna_router.config import EndpointPhase
from tests.ports import free_port
from tests.router.conftest import StartRouter
from tests.router.program import endpoint, eventually
from tests.router.stub import Stubs, stream

CHAT = "/v1/chat/completions"


def run(*arguments: str, seconds: float = 60, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "puna_router", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, **more
    )


@pytest.mark.parametrize(
    ("arguments", "content", "status", "told"),
    [
        ((), "{}", 2, "endpoints"),
        ((), '{"endpoints": [{"name": "A"}], "backends": {}}', 2, "endpoints.0.name"),
        (("--envoy", "no-such-envoy"), '{"endpoints": [], "backends": {}}', 1, "no such program"),
        (("--config", "/nowhere/router.json"), "", 1, "/nowhere/router.json"),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path, arguments: tuple[str, ...], content: str, status: int, told: str
) -> None:
    path = tmp_path / "router.json"
    path.write_text(content)
    done = run("--config", str(path), *arguments)
    assert done.returncode == status
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_outside_a_cluster_says_what_is_missing(tmp_path: Path) -> None:
    done = run("serve", "--namespace", "x", "--directory", str(tmp_path), env={"PATH": ""})
    assert (done.returncode, "KUBERNETES_SERVICE_HOST" in done.stderr) == (2, True)


def test_an_api_server_that_is_away_keeps_a_router_unready_and_endable(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    names = {"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
    cluster = {"server": f"http://127.0.0.1:{free_port()}"}
    document = {
        "current-context": "c",
        **names,
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {}}],
    }
    kubeconfig.write_text(json.dumps(document))
    port = free_port()
    command = [sys.executable, "-m", "puna_router", "serve", "--namespace", "x"]
    options = ["--directory", str(tmp_path / "run"), "--kubeconfig", str(kubeconfig)]
    site = ["--listen", "127.0.0.1", "--port", str(free_port()), "--control-port", str(port)]
    process = subprocess.Popen([*command, *options, *site], stderr=subprocess.DEVNULL)

    def status(path: str) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}").status_code
        except httpx.TransportError:
            return 0

    try:
        eventually(lambda: status("/live") == 200)
        assert status("/ready") == 503
        assert status("/state") == 200
        assert status("/metrics") == 200
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_a_taken_port_is_named_and_used_once_it_is_free(
    stubs: Stubs, start_router: StartRouter
) -> None:
    stub = stubs.start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        router = start_router([endpoint()], {"chat": [stub.backend()]}, port=port, wait=False)
        eventually(lambda: "cannot bind" in router.ready_text())
        assert "Address already in use" in router.ready_text()
        # No document is blamed for it.
        states = router.state().endpoints.values()
        assert EndpointPhase.REJECTED not in {state.phase for state in states}
    eventually(router.ready)
    router.wait_healthy(1)
    assert router.client.post(CHAT, json={}).status_code == 200


def test_an_envoy_of_its_own_is_drained_by_command(tmp_path: Path) -> None:
    directory, port = str(tmp_path / "run"), str(free_port())
    assert (
        run(
            "bootstrap", "--directory", directory, "--listen", "127.0.0.1", "--port", port
        ).returncode
        == 0
    )
    envoy = subprocess.Popen(
        [sys.executable, "-m", "puna_router", "envoy", "--directory", directory]
    )
    url = f"http://127.0.0.1:{port}"

    def status() -> int:
        try:
            return httpx.get(f"{url}/health").status_code
        except httpx.TransportError:
            return 0

    try:
        # Before any control process: it lives, and knows no model.
        eventually(lambda: status() == 200)
        answer = httpx.post(f"{url}{CHAT}", json={"model": "chat"})
        assert "there is none" in answer.json()["error"]["message"]
        drain = ("drain", "--directory", directory, "--seconds", "600", "--settle-seconds", "0.3")
        assert run(*drain).returncode == 0
        assert status() == 0
        assert envoy.poll() is None
    finally:
        envoy.terminate()
        assert envoy.wait(20) == 0
    assert run("drain", "--directory", directory, "--settle-seconds", "0").returncode == 0


def test_the_end_of_an_envoy_is_the_end_of_its_container(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert (
        run("bootstrap", "--directory", str(directory), "--port", str(free_port())).returncode == 0
    )
    (directory / "bootstrap.json").write_text(
        (directory / "bootstrap.json").read_text().replace('"dynamic_resources"', '"unknown"')
    )
    done = run("envoy", "--directory", str(directory))
    assert done.returncode != 0
    assert "unknown" in done.stderr


def test_what_does_not_end_in_time_is_cut_off(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start(stream(10_000, 0.05))
    router = start_router([endpoint()], {"chat": [stub.backend()]}, drain_seconds=1)
    router.wait_healthy(1)
    with router.client.stream("POST", CHAT, json={}) as answer:
        lines = answer.iter_lines()
        next(lines)
        began = time.monotonic()
        router.process.terminate()
        with pytest.raises(httpx.TransportError):
            for _ in lines:
                pass
    assert router.process.wait(30) == 0
    # The stream would have gone on for more than eight minutes.
    assert 0.9 < time.monotonic() - began < 50

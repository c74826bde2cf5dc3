"""The router as its users run it: `python -m puna_router`, with the real Envoy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from puna_router.config import RouterState
from tests.ports import free_port
from tests.router.stub import PROCESS

REVISION = "aaaaaaaa"


def revision(
    name: str = REVISION,
    *,
    process: str = PROCESS,
    weight: int = 100,
    slots: int = 64,
    expected: int = 0,
    **preset: Any,
) -> Any:
    return {
        "name": name,
        "process": process,
        "weight": weight,
        "slots": slots,
        "expected": expected,
        "preset": preset,
    }


def endpoint(name: str = "chat", *revisions: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "port": 20000,
        "created": 1_700_000_000,
        "revisions": list(revisions) or [revision()],
        "healthCheck": {"intervalSeconds": 0.2, "failureThreshold": 2},
        **more,
    }


def eventually(condition: Callable[[], Any], seconds: float = 30.0, pause: float = 0.02) -> float:
    """Wait for a condition; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(pause)
    return time.monotonic() - began


class RouterProgram:
    """One standalone router."""

    def __init__(
        self,
        folder: Path,
        endpoints: list[Any],
        backends: dict[str, Any],
        *,
        drain_seconds: float = 20,
        wait: bool = True,
        launcher: Sequence[str] = (),
        options: Sequence[str] = (),
        **more: Any,
    ) -> None:
        self._file = folder / "router.json"
        self.log = folder / "router.log"
        ports = {name: free_port() for name in ("port", "controlPort", "pickerPort")}
        self._fixed = {**ports, **more}
        self.url = f"http://127.0.0.1:{self._fixed['port']}"
        self.control = f"http://127.0.0.1:{self._fixed['controlPort']}"
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self.directory = folder / "xds"
        self.rewrite(endpoints, backends)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *launcher,
                    *(sys.executable, "-m", "puna_router", "--config", str(self._file)),
                    *("--directory", str(self.directory)),
                    *("--drain-seconds", str(drain_seconds)),
                    *options,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(self.ready if wait else self.ready_text, 60)
            if wait:
                eventually(lambda: "puna_router_picker_up 1" in self.metrics(), 20)
        except BaseException:
            self.stop()
            raise

    def socket(self) -> socket.socket:
        """A bare connection to the listener for clients."""
        return socket.create_connection(("127.0.0.1", self._fixed["port"]), timeout=10)

    def ready(self) -> bool:
        return '"ok"' in self.ready_text()

    def ready_text(self) -> str:
        """What /ready says; nothing before it can be asked."""
        try:
            return httpx.get(f"{self.control}/ready").text
        except httpx.TransportError:
            return ""

    def state(self) -> RouterState:
        answer = httpx.get(f"{self.control}/state")
        return RouterState.model_validate_json(answer.text)

    def metrics(self) -> str:
        return httpx.get(f"{self.control}/metrics").text

    def update(self, endpoints: list[Any], backends: dict[str, Any]) -> None:
        """Give new content and wait until Envoy runs it."""
        before = self.state()
        self.rewrite(endpoints, backends)
        eventually(lambda: self.state() != before)

    def give_keys(
        self, endpoints: list[Any], backends: dict[str, Any], keys: dict[str, Any]
    ) -> None:
        """Give other keys; what they do shows in answers alone."""
        self._fixed["keys"] = keys
        self.rewrite(endpoints, backends)

    def wait_healthy(self, count: int, name: str = "chat") -> None:
        """Wait until Envoy finds so many backends healthy, and the picker knows which."""

        def reached() -> bool:
            backends = self.state().endpoints[name].backends
            found = {f"{backend.address}:{backend.port}": backend.healthy for backend in backends}
            return sum(found.values()) == count and found.items() <= self.picker_hosts(name).items()

        eventually(reached)

    def picker_hosts(self, name: str = "chat") -> dict[str, bool]:
        """Servers by address, and whether the picker sends requests there."""
        state = httpx.get(f"http://127.0.0.1:{self._fixed['pickerPort']}/state").json()
        hosts = state["endpoints"].get(name, {"hosts": {}})["hosts"]
        return {address: host["healthy"] for address, host in hosts.items()}

    def rewrite(self, endpoints: list[Any], backends: dict[str, Any]) -> None:
        """Give new content."""
        content = {**self._fixed, "endpoints": endpoints, "backends": backends}
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(self._file)

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

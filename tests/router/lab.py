"""Servers of the fault lab, as their users run them: `python -m puna_router.faults`."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any, Self

import httpx

from tests.router.stub import PROCESS


class LabProgram:
    """One server of the lab."""

    def __init__(self, *options: str, host: str = "127.0.0.1") -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "puna_router.faults", "--listen", host),
                *("--port", "0", "--control-port", "0", *options),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ports = re.findall(r"\d+", self.process.stdout.readline().partition(host)[2])
        self.host = host
        self.port, self._control_port = (int(port) for port in ports)
        self.url = f"http://{host}:{self.port}"
        self.control = httpx.Client(base_url=f"http://{host}:{self._control_port}", timeout=10)

    @property
    def backend(self) -> dict[str, Any]:
        return {"address": self.host, "port": self.port, "process": PROCESS}

    def state(self) -> dict[str, Any]:
        """What it saw."""
        found: dict[str, Any] = self.control.get("/lab").json()
        return found

    def ends(self) -> list[dict[str, Any]]:
        """Its last requests."""
        found: list[dict[str, Any]] = self.control.get("/lab/requests").json()
        return found

    def follow(self, *, seed: int = 0, **faults: float) -> None:
        """Let other things go wrong; underscores stand for dashes."""
        named = {name.replace("_", "-"): chance for name, chance in faults.items()}
        self.control.put("/lab", json={"seed": seed, "faults": named}).raise_for_status()

    def stop(self) -> int:
        self.control.close()
        self.process.terminate()
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

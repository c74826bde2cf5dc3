"""The operator as a process of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster import eventually

MEBIBYTE = 1 << 20


@dataclass(slots=True)
class OperatorProcess:
    """One running `python -m puna`."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8")

    def is_working(self) -> bool:
        """Whether it has seen everything and reconciles."""
        assert self.process.poll() is None, self.text()
        return "all lists are in" in self.text()

    def health(self) -> tuple[int, str]:
        """Status and text of /healthz."""
        return self._get("/healthz")

    def metrics(self) -> str:
        """Text of /metrics."""
        return self._get("/metrics")[1]

    def cpu_seconds(self) -> float:
        """CPU time used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def memory_mib(self) -> float:
        """Memory that it occupies."""
        return psutil.Process(self.process.pid).memory_info().rss / MEBIBYTE

    def peak_memory_mib(self) -> float:
        """Most memory that it ever occupied; what it occupies now where nobody counts."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return self.memory_mib()
        found = re.search(r"^VmHWM:\s+(\d+)", status.read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def stop(self) -> int:
        """End it as Kubernetes does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(15)

    def _get(self, path: str) -> tuple[int, str]:
        found = re.search(r"health and metrics on port (\d+)", self.text())
        assert found is not None, self.text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def start_operator(kubeconfig: Path, log: Path, **environment: str) -> OperatorProcess:
    """Start the operator; `environment` holds settings without their prefix."""
    settings = {"LISTEN": "127.0.0.1:0", "MODEL_FOLDERS": "/srv/models"} | environment
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNA_", "KUBE"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "puna", f"--kubeconfig={kubeconfig}"],
            env=kept | {f"PUNA_{name}": value for name, value in settings.items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return OperatorProcess(process, log, time.monotonic())


@contextmanager
def operator(kubeconfig: Path, log: Path, **environment: str) -> Iterator[OperatorProcess]:
    """An operator that works, ended at the end; its log has no traceback then."""
    running = start_operator(kubeconfig, log, **environment)
    try:
        eventually(running.is_working, what="the operator to have seen everything")
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        assert "traceback=" not in running.text(), running.text()

"""Processes that keep to one processor, and what they use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

ROUTER_CORE, LOAD_CORE = 0, 1
"""Where what is measured runs, and where everything else does."""


def pinned(core: int) -> list[str]:
    """What starts a command on one processor, where a machine has such a thing."""
    return ["taskset", "--cpu-list", str(core)] if shutil.which("taskset") else []


def pin(pid: int, core: int) -> None:
    """Keep a process that runs, with its children and their threads, to one processor."""
    for process in tree(pid):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


def tree(pid: int) -> list[psutil.Process]:
    """A process and its children."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_seconds(pid: int, name: str = "") -> float:
    """Processor time that a process and its children have used, or those with a name."""
    times = [process.cpu_times() for process in tree(pid) if name in process.name()]
    return sum(time.user + time.system for time in times)


def memory(pid: int, name: str = "") -> int:
    """Resident bytes of a process and its children, or of those with a name."""
    return sum(process.memory_info().rss for process in tree(pid) if name in process.name())


class Pinned:
    """A program on the router's processor."""

    def __init__(
        self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*pinned(ROUTER_CORE), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])

    def stop(self) -> None:
        """End it; its children too."""
        children = tree(self.process.pid)[1:] if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        for child in children:
            if child.is_running():
                child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

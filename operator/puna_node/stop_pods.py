"""Ending everything that an agent has started, without the API server."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from puna_node import processes
from puna_node.processes import Attempt
from puna_node.single import running_agent
from puna_node.state import pod_folders

AGENT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.02
KILL_SECONDS: Final = 5.0


def stop_agent(directory: Path) -> None:
    """End the agent of a folder, which leaves its Pods."""
    pid = running_agent(directory)
    if pid is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + AGENT_SECONDS
        while running_agent(directory) == pid and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if running_agent(directory) is None:
            return


def stop_pods(directory: Path, *, grace: float) -> None:
    """End every process of every Pod: SIGTERM, after the grace SIGKILL."""
    attempts = [
        found
        for pod in pod_folders(directory / "p")
        for folder in pod.attempts()
        if isinstance(found := processes.find(folder, int(folder.name)), Attempt)
    ]
    for send, seconds in ((processes.terminate, grace), (processes.kill, KILL_SECONDS)):
        alive = [attempt for attempt in attempts if processes.is_alive(attempt.folder)]
        for attempt in alive:
            send(processes.refreshed(attempt))
        deadline = time.monotonic() + seconds
        while any(processes.is_alive(a.folder) for a in alive) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

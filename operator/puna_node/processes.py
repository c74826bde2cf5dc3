"""Processes of containers: start them through a shim, find them again, signal them.

Each attempt has a folder with `lock` (held by its shim as long as it lives), `run.json` (written
when the process was started) and `exit.json` (when it has ended). These files, and not what the
agent remembers, say what is true after the agent has come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from puna_node.facts import REASON_COMPLETED, REASON_ERROR, Exit, Running
from puna_node.launch import Launch
from puna_node.liveness_watch import wait_until_gone
from puna_node.manifest import parse_time
from puna_node.shims import ShimError, Shims, order

LOG_BYTES: Final = 10 * 2**20
LOG_FILES: Final = 5
REASON_UNKNOWN: Final = "ContainerStatusUnknown"
REASON_START_ERROR: Final = "StartError"
CODE_UNKNOWN: Final = 137


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a container: where its files lie and who looks after it."""

    number: int
    folder: Path
    shim: int

    @property
    def log(self) -> Path:
        """Newest log file."""
        return self.folder / "log"


async def start(
    launch: Launch,
    folder: Path,
    number: int,
    shims: Shims,
    *,
    user: int | None,
    kept: tuple[int, ...] = (),
) -> tuple[Attempt, Running | None]:
    """Start a process; None in place of the process where it could not be executed.

    Args:
        launch: what to start.
        folder: of this attempt; made here.
        number: of this attempt.
        shims: where one for this attempt comes from.
        user: uid of the process, None for the agent's own.
        kept: descriptors of locks that live as long as the process.

    Raises:
        ShimError: the shim could not be started or did not answer.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _open_lock(folder)
    try:
        # Taken here and handed over: there is no moment without an owner.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shim = shims.take()
        answer = await order(shim, _specification(launch, folder, user), (lock, *kept))
    except BlockingIOError as error:
        # Left by an agent whose state this one could not read.
        kill(refreshed(Attempt(number, folder, 0)))
        raise ShimError("an earlier process of the container still runs") from error
    finally:
        os.close(lock)
    attempt = Attempt(number, folder, shim.pid)
    if "error" in answer:
        return attempt, None
    return attempt, Running(number, int(answer["pid"]), _parse(str(answer["started_at"])))


async def wait(attempt: Attempt) -> Exit:
    """Wait until an attempt has ended, and say how."""
    await wait_until_gone(attempt.shim)
    return read_exit(attempt.folder, attempt.number) or _lost(attempt)


def find(folder: Path, number: int) -> Attempt | Exit | None:
    """An attempt of an earlier agent: alive, ended, or never begun (None)."""
    if not folder.is_dir():
        return None
    alive = _is_locked(folder)
    run = _read(folder / "run.json")
    if alive:
        # A shim that has just been started has not written its file yet.
        return Attempt(number, folder, int(run["shim"])) if run else Attempt(number, folder, 0)
    how = read_exit(folder, number)
    if how is not None:
        return how
    if run is None:
        return None
    return _lost(Attempt(number, folder, int(run["shim"])))


async def adopt(attempt: Attempt) -> tuple[Attempt, Running | None]:
    """Take over a live attempt; None in place of the process where it has already ended."""
    run = await _await_run(attempt.folder)
    if run is None:
        return attempt, None
    adopted = Attempt(attempt.number, attempt.folder, int(run["shim"]))
    return adopted, Running(attempt.number, int(run["pid"]), _parse(str(run["started_at"])))


def terminate(attempt: Attempt) -> None:
    """Send SIGTERM to the process."""
    _signal_shim(attempt, signal.SIGTERM)


def kill(attempt: Attempt) -> None:
    """Send SIGKILL to the process and its group."""
    _signal_shim(attempt, signal.SIGUSR1)


def read_exit(folder: Path, number: int) -> Exit | None:
    """How an attempt ended, according to its shim."""
    record = _read(folder / "exit.json")
    if record is None:
        return None
    problem = str(record["error"])
    code = int(record["code"])
    reason = REASON_COMPLETED if code == 0 else REASON_ERROR
    return Exit(
        attempt=number,
        code=code,
        signal=int(record["signal"]),
        reason=REASON_START_ERROR if problem else reason,
        message=problem,
        started_at=_parse(str(record["started_at"])),
        finished_at=_parse(str(record["finished_at"])),
    )


def kill_left_over(folder: Path) -> bool:
    """Kill the process of an attempt whose shim is gone; whether there was one."""
    run = _read(folder / "run.json")
    if run is None or _read(folder / "exit.json") is not None:
        return False
    pid = int(run["pid"])
    try:
        process = psutil.Process(pid)
        # Same pid, same command line, started when this attempt was: no other process.
        same = process.cmdline() == run["argv"] and (
            abs(process.create_time() - _parse(str(run["started_at"])).timestamp()) < 5  # noqa: PLR2004
        )
    except psutil.Error:
        return False
    if not same:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return True


def is_alive(folder: Path) -> bool:
    """Whether the shim of an attempt lives."""
    return folder.is_dir() and _is_locked(folder)


def _specification(launch: Launch, folder: Path, user: int | None) -> dict[str, Any]:
    return {
        "argv": list(launch.argv),
        "environment": dict(launch.environment),
        "directory": launch.directory,
        "folder": str(folder),
        "log": str(folder / "log"),
        "max_bytes": LOG_BYTES,
        "max_files": LOG_FILES,
        "user": user,
    }


async def _await_run(folder: Path) -> dict[str, Any] | None:
    while (run := _read(folder / "run.json")) is None and _is_locked(folder):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # another process writes it
    return run


def _lost(attempt: Attempt) -> Exit:
    """Exit of an attempt whose shim was killed: its process goes too."""
    kill_left_over(attempt.folder)
    run = _read(attempt.folder / "run.json")
    now = datetime.now(UTC)
    return Exit(
        attempt=attempt.number,
        code=CODE_UNKNOWN,
        signal=0,
        reason=REASON_UNKNOWN,
        message="The process that looked after the container was killed",
        started_at=_parse(str(run["started_at"])) if run else now,
        finished_at=now,
    )


def _signal_shim(attempt: Attempt, number: signal.Signals) -> None:
    # The lock is held only while the shim lives, so its pid cannot be another process's.
    if attempt.shim and _is_locked(attempt.folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(attempt.shim, number)


def _open_lock(folder: Path) -> int:
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = _open_lock(folder)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document


def _parse(text: str) -> datetime:
    # Nanoseconds are more than a datetime holds.
    return parse_time(text[:26] + "Z")


def recorded_argv(folder: Path) -> list[str]:
    """Command line of an attempt, as its shim recorded it."""
    run = _read(folder / "run.json")
    return [str(text) for text in run["argv"]] if run else []


def refreshed(attempt: Attempt) -> Attempt:
    """An attempt with the pid of its shim, which a shim just started had not written yet."""
    run = _read(attempt.folder / "run.json")
    shim = int(run["shim"]) if run is not None else attempt.shim
    return Attempt(attempt.number, attempt.folder, shim)

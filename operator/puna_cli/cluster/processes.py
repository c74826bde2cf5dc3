"""Start, find and end processes that outlive this command."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from puna_cli.cluster.program import Program, Record, digest
from puna_cli.cluster.state import write_private
from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths

TAIL_LINES = 15
KILL_SECONDS = 5.0
"""How long a killed process may take to be gone."""
POLL_SECONDS = 0.02
START_TIME_TOLERANCE = 2.0
"""Seconds that the kernel's start time may seem to move when the clock is set."""


class ProcessEndedError(CommandError):
    """A process of the cluster ended by itself while it was waited for."""


def start(
    paths: ClusterPaths,
    program: Program,
    environment: Mapping[str, str],
) -> Record:
    """Start a program in a session of its own, its output in its log, and write its record."""
    log = paths.log(program.name)
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=paths.root,
                env={**environment, **program.environment},
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"cannot start {program.argv[0]}: {error.strerror}") from error
    pid = process.pid
    # It is meant to outlive this command; whoever ends it waits for it by its pid.
    process.returncode = 0
    record = Record(pid, psutil.Process(pid).create_time(), program_digest(program))
    write_private(
        paths.process(program.name),
        json.dumps({"pid": pid, "started": record.started, "digest": record.digest}),
    )
    return record


def program_digest(program: Program) -> str:
    """Digest of a program with the present contents of its inputs."""
    return digest(program, [path.read_bytes() for path in program.inputs])


def running(paths: ClusterPaths) -> dict[str, Record]:
    """The processes that live, by name."""
    records: dict[str, Record] = {}
    for file in sorted(paths.processes.glob("*.json")):
        record = _read(file)
        if record is not None and find(record) is not None:
            records[file.stem] = record
    return records


def find(record: Record) -> psutil.Process | None:
    """The recorded process; None if it has ended, also when its pid is another's by now."""
    try:
        process = psutil.Process(record.pid)
        started = process.create_time()
        if abs(started - record.started) > START_TIME_TOLERANCE:
            return None
    except psutil.NoSuchProcess:
        return None
    return None if _has_ended(process) else process


def stop(processes: Iterable[psutil.Process], seconds: float) -> None:
    """End processes: SIGTERM, and SIGKILL for those that are still there after `seconds`."""
    alive = list(processes)
    for process in alive:
        _signal(process, kill=False)
    alive = _wait(alive, seconds)
    for process in alive:
        _signal(process, kill=True)
    _wait(alive, KILL_SECONDS)


def forget(paths: ClusterPaths, name: str) -> None:
    """Remove a process's record."""
    paths.process(name).unlink(missing_ok=True)


def require_alive(paths: ClusterPaths, records: Mapping[str, Record]) -> None:
    """Raise if one of the processes has ended.

    Raises:
        ProcessEndedError: names it, its log and the log's last lines.
    """
    for name, record in records.items():
        if find(record) is None:
            raise ProcessEndedError(
                f"{name} ended; its log {paths.log(name)} ends with\n{tail(paths.log(name))}"
            )


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Last lines of a log, indented."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line[:400]}" for line in text.splitlines()[-lines:])


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if not _has_ended(process)]
        if not processes or time.monotonic() > deadline:
            return processes
        time.sleep(POLL_SECONDS)


def _has_ended(process: psutil.Process) -> bool:
    # A zombie has ended; its parent (init, which may take seconds) is nothing to wait for.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass


def _read(file: Path) -> Record | None:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return Record(int(stored["pid"]), float(stored["started"]), str(stored["digest"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None

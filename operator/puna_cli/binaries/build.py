"""Build the programs into the cache, one after the other, and publish them together."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from puna_cli.binaries.go import Go, install_go
from puna_cli.binaries.tools import TOOLS, Tool, build_command, build_environment
from puna_cli.errors import CommandError
from puna_cli.locks import locked
from puna_cli.report import Step

TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Source:
    """What is built, and by what."""

    go: Go
    modules: Path
    """Folder with go.mod and go.sum."""
    version: str
    """Kubernetes version, for example `v1.36.3`."""


def build(folder: Path, source: Source, environment: Mapping[str, str], step: Step) -> None:
    """Build all five programs to `folder`, which appears only when it is complete.

    One builder at a time; what an interrupted one has finished is kept.

    Raises:
        CommandError: a build failed, or there is no room; names the log.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(
            folder.with_name(f"{folder.name}.lock"),
            lambda: step.note("another process is building them"),
        ):
            if folder.is_dir():
                return
            install_go(source.go, environment, step)
            unfinished = folder.with_name(f"{folder.name}.unfinished")
            unfinished.mkdir(exist_ok=True)
            for number, tool in enumerate(TOOLS, start=1):
                if not (unfinished / tool.name).exists():
                    progress = f"building {tool.name} ({number} of {len(TOOLS)}, once)"
                    _build_one(
                        tool,
                        unfinished,
                        source,
                        environment=environment,
                        waiting=partial(step.note, progress),
                    )
            unfinished.rename(folder)
    except OSError as error:
        raise CommandError(f"cannot write to {folder.parent}: {error.strerror or error}") from error


def _build_one(
    tool: Tool,
    folder: Path,
    source: Source,
    *,
    environment: Mapping[str, str],
    waiting: Callable[[], None],
) -> None:
    out = folder / f".{tool.name}"
    log = folder.with_name(f"{folder.stem}.log")
    command = build_command(
        str(source.go.command), tool, version=source.version, modules=source.modules, out=out
    )
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        begin = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=build_environment(environment),
        )
        try:
            while process.poll() is None:
                waiting()
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        with contextlib.suppress(FileNotFoundError):
            out.unlink()
        raise CommandError(
            f"building {tool.name} failed (exit status {process.returncode}); "
            f"the whole log: {log}\n{_tail(log, begin)}"
        )
    out.rename(folder / tool.name)


def _tail(log: Path, begin: int) -> str:
    said = log.read_bytes()[begin:].decode(errors="replace").splitlines()
    return "\n".join(said[-TAIL_LINES:])

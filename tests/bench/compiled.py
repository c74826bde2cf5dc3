"""The compiled stub server and load generator of `stub/`, built once with Go."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

from rich.console import Console

from puna_cli.binaries.go import find_go, install_go
from puna_cli.binaries.tools import build_environment
from puna_cli.paths import cache_folder
from puna_cli.report import Step

SOURCE = Path(__file__).parent / "stub"


@cache
def program() -> Path:
    """The program, from the cache or built now; another source or Go is another program."""
    folder = cache_folder(os.environ)
    go = find_go(os.environ, folder)
    files = sorted((*SOURCE.glob("*.go"), SOURCE / "go.mod"))
    parts = [go.version.encode(), platform.machine().encode(), *(f.read_bytes() for f in files)]
    built = folder / "bench" / sha256(b"\0".join(parts)).hexdigest()[:16] / "bench"
    if not built.exists():
        install_go(go, os.environ, Step(Console(), "Go"))
        built.parent.mkdir(parents=True, exist_ok=True)
        unfinished = built.with_name(f"bench.{os.getpid()}")
        subprocess.run(
            [str(go.command), "build", "-C", str(SOURCE), "-trimpath", "-o", str(unfinished), "."],
            check=True,
            env=build_environment(os.environ),
        )
        unfinished.rename(built)
    return built

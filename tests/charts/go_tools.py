"""Programs that tests need and that are built once from pinned Go modules in hack/tools-<name>."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from rich.console import Console

from puna_cli.binaries.go import find_go, install_go
from puna_cli.binaries.tools import COMPILER_FLAGS, build_environment
from puna_cli.locks import locked
from puna_cli.paths import cache_folder
from puna_cli.report import Report, Step

ROOT: Final = Path(__file__).parents[2]
BUILD_SECONDS: Final = 900
SOURCES: Final = ("go.mod", "go.sum", "*.go")


@dataclass(frozen=True, slots=True)
class GoTool:
    """One program."""

    name: str
    package: str
    """What is built: a package of a pinned module, or `.` for one of our own."""
    tags: str = ""
    """What leaves out parts of it."""


HELM: Final = GoTool("helm", "helm.sh/helm/v4/cmd/helm")
PROMETHEUS: Final = GoTool(
    "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", tags="remove_all_sd"
)
"""Without what finds targets in clouds, which is most of it."""
PROMRULES: Final = GoTool("promrules", ".")
VERSITYGW: Final = GoTool("versitygw", "github.com/versity/versitygw/cmd/versitygw")
TOOLS: Final = (HELM, PROMRULES, VERSITYGW, PROMETHEUS)


def built(tool: GoTool) -> Path:
    """Return the program, built now if it never was."""
    modules = ROOT / f"hack/tools-{tool.name}"
    cache = cache_folder(os.environ)
    go = find_go(os.environ, cache)
    sources = [path.read_bytes() for name in SOURCES for path in sorted(modules.glob(name))]
    machine = f"{go.version}-{platform.system()}-{platform.machine()}"
    key = sha256(b"\0".join([*sources, machine.encode()])).hexdigest()[:12]
    binary = cache / tool.name / key / tool.name
    binary.parent.mkdir(parents=True, exist_ok=True)
    with locked(binary.parent / "lock", lambda: None):
        if not binary.exists():
            install_go(go, os.environ, Step(Report(Console(quiet=True)).console, tool.name))
            unfinished = binary.with_suffix(".unfinished")
            subprocess.run(
                [
                    *(str(go.command), "build", "-C", str(modules), "-mod=readonly", "-trimpath"),
                    # What the Kubernetes programs are built with: packages of all are shared.
                    *("-gcflags", COMPILER_FLAGS, "-ldflags=-s -w"),
                    *("-tags", tool.tags, "-o", str(unfinished), tool.package),
                ],
                env=build_environment(os.environ),
                check=True,
                timeout=BUILD_SECONDS,
            )
            shutil.move(unfinished, binary)
    return binary


def main() -> None:
    """Build all of them."""
    for tool in TOOLS:
        sys.stdout.write(f"{built(tool)}\n")


if __name__ == "__main__":
    main()

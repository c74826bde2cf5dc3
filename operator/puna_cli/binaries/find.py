"""The programs of a cluster, from where they are or from a build."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from puna_cli.binaries.build import Source, build
from puna_cli.binaries.go import find_go
from puna_cli.binaries.tools import TOOLS, VARIABLE, Modules, cache_key, missing
from puna_cli.bundled import bundled
from puna_cli.errors import CommandError
from puna_cli.paths import cache_folder
from puna_cli.report import Step


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with all five programs."""

    folder: Path

    def path(self, name: str) -> Path:
        """Path of one program."""
        return self.folder / name


def find_binaries(environment: Mapping[str, str], step: Step) -> Binaries:
    """The programs of the folder that PUNA_KUBE_BIN names, else the cache's, else a fresh build's.

    Raises:
        CommandError: the named folder lacks a program, or the build failed.
    """
    given = environment.get(VARIABLE)
    if given:
        return _given(Path(given).expanduser(), step)
    modules_at = bundled("tools", "hack/tools")
    modules = Modules(
        go_mod=(modules_at / "go.mod").read_text(encoding="utf-8"),
        go_sum=(modules_at / "go.sum").read_text(encoding="utf-8"),
    )
    cache = cache_folder(environment)
    go = find_go(environment, cache)
    machine = f"{platform.system()}-{platform.machine()}".lower()
    key = cache_key(modules, go_version=go.version, platform=machine)
    folder = cache / "kubernetes" / key
    if not folder.is_dir():
        source = Source(go=go, modules=modules_at, version=modules.kubernetes_version)
        build(folder, source, environment, step)
        step.result = f"built, kept in {folder}"
    else:
        step.result = str(folder)
    return Binaries(folder)


def find_kubectl(environment: Mapping[str, str], step: Step) -> Path:
    """kubectl: PATH's if there is one and PUNA_KUBE_BIN says nothing, else that of the programs."""
    on_path = shutil.which("kubectl", path=environment.get("PATH"))
    if on_path and not environment.get(VARIABLE):
        step.result = on_path
        return Path(on_path)
    return find_binaries(environment, step).path("kubectl")


def _given(folder: Path, step: Step) -> Binaries:
    present = [tool.name for tool in TOOLS if os.access(folder / tool.name, os.X_OK)]
    absent = missing(present)
    if absent:
        raise CommandError(
            f"{VARIABLE}={folder}: no executable {', '.join(absent)} there; "
            f"it has to hold {', '.join(tool.name for tool in TOOLS)}. "
            f"Unset {VARIABLE} to have them built"
        )
    step.result = str(folder)
    return Binaries(folder)

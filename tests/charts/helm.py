"""Helm, built once from the pinned module in hack/tools-helm."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console

from puna_cli.binaries.go import find_go, install_go
from puna_cli.binaries.tools import build_environment
from puna_cli.locks import locked
from puna_cli.paths import cache_folder
from puna_cli.report import Report, Step

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts/puna"
SCENARIOS: Final = sorted((CHART / "ci").glob("*-values.yaml"))
BUILD_SECONDS: Final = 900
Manifest = dict[str, Any]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Helm:
    """The helm command, with folders of its own."""

    binary: Path
    folder: Path

    def run(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """Return the output of one call.

        Raises:
            HelmError: it failed.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(kubeconfig or self.folder / "none"),
        }
        done = subprocess.run(
            [str(self.binary), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout

    def render(self, *arguments: str) -> Rendered:
        """Return what the chart renders to as release `puna` in namespace `puna-system`."""
        text = self.run("template", "puna", str(CHART), "--namespace=puna-system", *arguments)
        return Rendered(tuple(document for document in yaml.safe_load_all(text) if document))


@dataclass(frozen=True, slots=True)
class Rendered:
    """Objects of one rendering."""

    objects: tuple[Manifest, ...]

    def of(self, kind: str) -> Iterator[Manifest]:
        """Return the objects of a kind."""
        return (manifest for manifest in self.objects if manifest["kind"] == kind)

    def the(self, kind: str) -> Manifest:
        """Return the only object of a kind."""
        (manifest,) = self.of(kind)
        return manifest

    @property
    def pod(self) -> Manifest:
        """The operator's Pod template."""
        template: Manifest = self.the("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Manifest:
        """The operator's container."""
        (container,) = self.pod["spec"]["containers"]
        return dict(container)

    @property
    def environment(self) -> dict[str, str]:
        """Environment that the kubelet gives the operator."""
        return {item["name"]: item["value"].replace("$$(", "$(") for item in self.container["env"]}


def helm_binary() -> Path:
    """Return helm, built now if it never was."""
    modules = ROOT / "hack/tools-helm"
    cache = cache_folder(os.environ)
    go = find_go(os.environ, cache)
    sources = [(modules / name).read_bytes() for name in ("go.mod", "go.sum")]
    machine = f"{go.version}-{platform.system()}-{platform.machine()}"
    key = sha256(b"\0".join([*sources, machine.encode()])).hexdigest()[:12]
    binary = cache / "helm" / key / "helm"
    binary.parent.mkdir(parents=True, exist_ok=True)
    with locked(binary.parent / "lock", lambda: None):
        if not binary.exists():
            install_go(go, os.environ, Step(Report(Console(quiet=True)).console, "helm"))
            unfinished = binary.with_suffix(".unfinished")
            subprocess.run(
                [
                    *(str(go.command), "build", "-C", str(modules), "-mod=readonly", "-trimpath"),
                    *("-ldflags=-s -w", "-o", str(unfinished), "helm.sh/helm/v4/cmd/helm"),
                ],
                env=build_environment(os.environ),
                check=True,
                timeout=BUILD_SECONDS,
            )
            shutil.move(unfinished, binary)
    return binary

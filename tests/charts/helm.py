"""Helm, and what the chart renders to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.charts.go_tools import ROOT

CHART: Final = ROOT / "charts/puna"
SCENARIOS: Final = sorted((CHART / "ci").glob("*-values.yaml"))
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

"""Custom resources of Kueue, from its Go module, and a queue of theirs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console

from puna.core.plan import Manifest
from puna_cli.binaries.go import find_go, install_go
from puna_cli.binaries.tools import build_environment
from puna_cli.paths import cache_folder
from puna_cli.report import Report, Step

MODULE: Final = "sigs.k8s.io/kueue"
FOLDER: Final = Path(__file__).parents[2] / "hack/tools-kueue"
GROUP: Final = "kueue.x-k8s.io/v1beta2"


def definitions() -> list[Manifest]:
    """CustomResourceDefinitions of Kueue, without the webhook that converts versions."""
    go = find_go(os.environ, cache_folder(os.environ))
    install_go(go, os.environ, Step(Report(Console(quiet=True)).console, "go"))
    told = subprocess.run(
        [str(go.command), "mod", "download", "-json", MODULE],
        cwd=FOLDER,
        env=build_environment(os.environ),
        check=True,
        capture_output=True,
        timeout=300,
    )
    bases = Path(json.loads(told.stdout)["Dir"], "config/components/crd/bases")
    names = ("localqueues", "clusterqueues", "resourceflavors", "workloads")
    return [
        yaml.safe_load((bases / f"kueue.x-k8s.io_{name}.yaml").read_text(encoding="utf-8"))
        for name in names
    ]


def queue(namespace: str, name: str = "research") -> list[Manifest]:
    """A LocalQueue with a quota of four processors behind it."""
    flavor = {"name": "any", "resources": [{"name": "cpu", "nominalQuota": "4"}]}
    return [
        {"apiVersion": GROUP, "kind": "ResourceFlavor", "metadata": {"name": "any"}, "spec": {}},
        {
            "apiVersion": GROUP,
            "kind": "ClusterQueue",
            "metadata": {"name": namespace},
            "spec": {
                "namespaceSelector": {},
                "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [flavor]}],
            },
        },
        {
            "apiVersion": GROUP,
            "kind": "LocalQueue",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": namespace},
        },
    ]

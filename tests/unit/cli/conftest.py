"""A kubectl that shows endpoints, for the commands that give orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from puna_cli.kubectl import Kubectl

KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> "{folder}/calls"
case " $* " in *" get "*) cat "{folder}/endpoints.json" ;; esac
"""


@dataclass(frozen=True)
class Cluster:
    """A kubectl that shows endpoints, and what it was called with."""

    folder: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.folder / "kubectl", self.folder / "kubeconfig")

    @property
    def written(self) -> list[str]:
        """Arguments of the calls that write."""
        calls = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        arguments = [call.partition(" ")[2] for call in calls]
        return [call for call in arguments if not call.startswith("get ")]


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., Cluster]:
    """Make a cluster with these endpoints."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(folder=tmp_path), encoding="utf-8")
    kubectl.chmod(0o755)

    def shown(*endpoints: dict[str, Any]) -> Cluster:
        items = {"items": list(endpoints)}
        (tmp_path / "endpoints.json").write_text(json.dumps(items), encoding="utf-8")
        return Cluster(tmp_path)

    return shown


def endpoint(
    name: str = "chat", *, annotations: dict[str, str] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "team", "annotations": annotations or {}},
        "spec": {"rollout": {"strategy": "Canary"}},
        "status": {"stableRevision": "47e27957", **status},
    }

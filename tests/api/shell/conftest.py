"""What tests of the running operator share: a namespace, its objects, and the operator itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from puna.cluster.resources import CHILDREN, ENDPOINTS
from puna.core.plan import Manifest
from puna_cli.cluster.api import LocalApi
from tests.cluster import ControlPlane, eventually
from tests.operator_process import OperatorProcess, operator

OPTIONAL = {"PodDisruptionBudget", "Role", "Job", "PersistentVolumeClaim"}
"""Kinds that not every endpoint has, or that training alone makes."""
SAME = 6
"""Looks, a tenth of a second apart, in which nothing changes: the operator has settled."""
KINDS = {resource.kind: resource for resource in (*CHILDREN, ENDPOINTS)}


@dataclass(frozen=True, slots=True)
class Team:
    """One namespace as a test looks at it."""

    plane: ControlPlane
    namespace: str
    api: LocalApi

    def apply(self, kind: str, name: str, api_version: str = "v1", **members: Any) -> None:
        """Apply an object of this namespace as a user."""
        self.plane.apply(
            {
                "apiVersion": api_version,
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                **members,
            }
        )

    def endpoint(self, name: str = "chat", **spec: Any) -> None:
        """Apply an LLMEndpoint."""
        minimal = {"model": {"uri": "file:///srv/models/tiny.gguf"}, "accelerator": "cpu"}
        given = {key: value for key, value in (minimal | spec).items() if value is not None}
        self.apply("LLMEndpoint", name, ENDPOINTS.api_version, spec=given)

    def get(self, kind: str, name: str) -> Manifest | None:
        """An object, if it is there."""
        return self.api.get(KINDS[kind].path(self.namespace, name))

    def all(self, kind: str) -> list[Manifest]:
        """All of Puna's objects of a kind."""
        answer = self.api.get(KINDS[kind].path(self.namespace))
        assert answer is not None
        return [
            item
            for item in answer["items"]
            if item["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "puna"
        ]

    def children(self) -> dict[tuple[str, str], Manifest]:
        """Everything of Puna's in this namespace, by kind and name."""
        return {
            (resource.kind, item["metadata"]["name"]): item
            for resource in CHILDREN
            for item in self.all(resource.kind)
        }

    def versions(self) -> dict[tuple[str, str], str]:
        """Version of every child and endpoint."""
        found = {key: item["metadata"]["resourceVersion"] for key, item in self.children().items()}
        answer = self.api.get(ENDPOINTS.path(self.namespace)) or {"items": []}
        for item in answer["items"]:
            metadata = item["metadata"]
            found["LLMEndpoint", metadata["name"]] = metadata["resourceVersion"]
        return found

    def condition(self, kind: str, name: str = "chat") -> tuple[str, str, str]:
        """Status, reason and message of a condition; empty where it is not told yet."""
        endpoint = self.get("LLMEndpoint", name) or {}
        for condition in endpoint.get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def deployment(self, name: str = "chat") -> Manifest | None:
        """The Deployment of an endpoint."""
        return next(
            (
                item
                for item in self.all("Deployment")
                if item["metadata"]["labels"].get("puna.dev/endpoint") == name
            ),
            None,
        )

    def is_complete(self) -> bool:
        """Whether an endpoint's children and the router's are all there, and the status is told."""
        kinds = {kind for kind, _ in self.children()}
        wanted = {resource.kind for resource in CHILDREN} - OPTIONAL
        return (
            wanted <= kinds and bool(self.condition("Ready")[0]) and self.deployment() is not None
        )

    def settled(self) -> dict[tuple[str, str], str]:
        """Versions of everything once they stay as they are for a while."""
        last: list[dict[tuple[str, str], str]] = []

        def same() -> bool:
            last.append(self.versions())
            return len(last) > SAME and all(item == last[-1] for item in last[-SAME:])

        eventually(same, what="nothing to change any more")
        return last[-1]


@contextmanager
def new_team(plane: ControlPlane) -> Iterator[Team]:
    """A fresh namespace."""
    with LocalApi(plane.paths, plane.server) as api:
        yield Team(plane, plane.new_namespace(), api)


@pytest.fixture
def team(crds: ControlPlane) -> Iterator[Team]:
    """A fresh namespace of an API server without controllers."""
    with new_team(crds) as made:
        yield made


@pytest.fixture
def running(team: Team, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that serves this namespace alone."""
    kubeconfig = team.plane.kubeconfig
    with operator(kubeconfig, tmp_path / "puna.log", WATCH_NAMESPACE=team.namespace) as process:
        yield process

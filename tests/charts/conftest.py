"""Helm, and an API server that the chart alone has put objects into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.charts.helm import Helm, helm_binary
from tests.cluster import ControlPlane, start_control_plane


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The helm command."""
    return Helm(helm_binary(), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def chart_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with the namespaces that the scenarios name; they enforce `restricted`."""
    plane = start_control_plane(tmp_path_factory.mktemp("chart-plane"))
    for name in ("puna-system", "team-a"):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        plane.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
    yield plane
    plane.stop()

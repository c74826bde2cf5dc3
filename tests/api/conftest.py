"""What the `api` tier shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from puna.api.crd import custom_resource_definitions
from tests.charts.go_tools import HELM, built
from tests.charts.helm import Helm
from tests.cluster import ControlPlane, start_control_plane


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> ControlPlane:
    """The API server with the custom resources established."""
    definitions = custom_resource_definitions()
    control_plane.apply(*definitions)
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return control_plane


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The helm command."""
    return Helm(built(HELM), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def chart_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server that only the chart puts objects into; its namespaces enforce `restricted`."""
    plane = start_control_plane(tmp_path_factory.mktemp("chart-plane"))
    for name in ("puna-system", "team-a"):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        plane.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
    yield plane
    plane.stop()

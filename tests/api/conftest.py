"""What the `api` tier shares."""

from __future__ import annotations

import pytest

from puna.api.crd import custom_resource_definitions
from tests.cluster import ControlPlane


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> ControlPlane:
    """The API server with the custom resources established."""
    definitions = custom_resource_definitions()
    control_plane.apply(*definitions)
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return control_plane

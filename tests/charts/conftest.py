"""Helm."""

from __future__ import annotations

import pytest

from tests.charts.helm import Helm, helm_binary


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The helm command."""
    return Helm(helm_binary(), tmp_path_factory.mktemp("helm"))

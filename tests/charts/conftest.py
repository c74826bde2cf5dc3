"""Programs that tests of the chart need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.charts.go_tools import HELM, PROMRULES, built
from tests.charts.helm import Helm


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The helm command."""
    return Helm(built(HELM), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def promrules() -> Path:
    """The program that evaluates alert rules."""
    return built(PROMRULES)

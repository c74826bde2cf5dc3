"""What an operator publishes that has worked and lost its API server: what alerts rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from puna.api.crd import custom_resource_definitions
from tests.api.shell.conftest import new_team
from tests.cluster import eventually, start_control_plane
from tests.operator_process import operator
from tests.recording import OPERATOR, compare

pytestmark = pytest.mark.api

AFTERWARDS = ("puna_watch_restarts_total{", "puna_objects{", "puna_reconcile_total{")


def test_the_series_are_those_that_dashboard_and_alerts_were_checked_with(tmp_path: Path) -> None:
    plane = start_control_plane(tmp_path / "plane")
    try:
        plane.apply(*custom_resource_definitions())
        with operator(plane.kubeconfig, tmp_path / "puna.log") as running:
            with new_team(plane) as team:
                team.endpoint()
                eventually(team.is_complete, what=running.text())
            plane.stop()
            eventually(lambda: all(begin in running.metrics() for begin in AFTERWARDS))
            compare(OPERATOR, running.metrics())
    finally:
        plane.stop()

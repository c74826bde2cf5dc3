from __future__ import annotations

from typing import Any

import pytest

from puna_router.control.admin import host_states
from puna_router.control.health import HostHealth


def clusters(**health: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    host = {"address": address, "health_status": {"eds_health_status": "HEALTHY", **health}}
    return {"cluster_statuses": [{"name": "c", "host_statuses": [host]}, {"name": "empty"}]}


HOST = ("c", "10.0.0.1", 80)


def test_a_host_without_a_mark_is_healthy() -> None:
    assert host_states(clusters()) == {HOST: HostHealth(passes=True)}


@pytest.mark.parametrize(
    ("mark", "health"),
    [
        ({"failed_active_health_check": True}, HostHealth(passes=False)),
        ({"failed_outlier_check": True}, HostHealth(passes=True, ejected=True)),
        ({"eds_health_status": "DRAINING"}, HostHealth(passes=False)),
    ],
)
def test_a_host_with_a_mark_is_not(mark: dict[str, Any], health: HostHealth) -> None:
    assert host_states(clusters(**mark)) == {HOST: health}
    assert not health.usable


def test_nothing_is_known_of_a_host_that_envoy_has_not_checked() -> None:
    assert host_states(clusters(pending_active_hc=True)) == {HOST: None}

from __future__ import annotations

from typing import Any

import pytest

from puna_router.control.admin import healthy_hosts, host_states


def clusters(**health: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    host = {"address": address, "health_status": {"eds_health_status": "HEALTHY", **health}}
    return {"cluster_statuses": [{"name": "c", "host_statuses": [host]}, {"name": "empty"}]}


def test_a_host_without_a_mark_is_healthy() -> None:
    assert {("c", "10.0.0.1", 80)} == healthy_hosts(host_states(clusters()))


@pytest.mark.parametrize(
    "mark",
    [
        {"failed_active_health_check": True},
        {"failed_outlier_check": True},
        {"pending_active_hc": True},
        {"eds_health_status": "DRAINING"},
    ],
)
def test_a_host_with_a_mark_is_not(mark: dict[str, Any]) -> None:
    assert host_states(clusters(**mark)) == {("c", "10.0.0.1", 80): False}

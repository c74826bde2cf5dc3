from __future__ import annotations

from typing import Any

import pytest

from puna_router.config import Backend
from puna_router.control.backends import backends


def pod(name: str = "one", **changes: Any) -> dict[str, Any]:
    labels = {
        "puna.dev/endpoint": "chat",
        "puna.dev/process": "0123abcd",
        "puna.dev/pool": "default",
        **changes.pop("labels", {}),
    }
    status = {
        "podIP": "10.0.0.1",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True"},
        ],
        **changes.pop("status", {}),
    }
    return {"metadata": {"name": name, "labels": labels, **changes}, "status": status}


def found(*pods: dict[str, Any]) -> dict[str, tuple[Backend, ...]]:
    return backends(pods, {"chat": 20000})


def test_a_ready_pod_with_an_address_is_a_backend() -> None:
    expected = Backend(
        address="10.0.0.1", port=20000, process="0123abcd", pod="one", pool="default"
    )
    assert {"chat": (expected,)} == found(pod())


@pytest.mark.parametrize(
    "other",
    [
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(status={"podIP": ""}),
        pod(status={"conditions": []}),
        pod(status={"conditions": [{"type": "Ready", "status": "False"}]}),
        pod(status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
        pod(labels={"puna.dev/endpoint": "other"}),
        {"metadata": {"name": "bare", "labels": {"puna.dev/endpoint": "chat"}}},
    ],
)
def test_no_other_pod_is(other: dict[str, Any]) -> None:
    assert found(other) == {}


def test_the_order_of_pods_does_not_matter() -> None:
    first, second = pod("one"), pod("two", status={"podIP": "10.0.0.2"})
    assert found(first, second) == found(second, first)

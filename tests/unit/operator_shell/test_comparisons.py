"""What is remembered of comparisons never outlives either side."""

from __future__ import annotations

from typing import Any

from puna.comparisons import Comparisons
from puna.core.naming import FIELD_MANAGER
from puna.core.plan import key_of


def config_map(data: str) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "a"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": data}}


def live(data: str, version: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:data": {"f:x": {}}}
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1"}
    manifest = config_map(data)
    manifest["metadata"] |= {
        "resourceVersion": version,
        "managedFields": [entry | {"fieldsV1": fields}],
    }
    return manifest


def test_another_version_or_another_wish_is_compared_anew() -> None:
    comparisons = Comparisons()
    assert not comparisons.differs(config_map("1"), live("1", "7"))
    assert comparisons.differs(config_map("2"), live("1", "7"))
    assert not comparisons.differs(config_map("2"), live("2", "8"))
    assert comparisons.differs(config_map("2"), live("1", "9"))


def test_the_same_version_is_compared_once() -> None:
    comparisons = Comparisons()
    assert not comparisons.differs(config_map("1"), live("1", "7"))
    # No object changes without its version, so what stands here is not looked at.
    assert not comparisons.differs(config_map("1"), live("other", "7"))
    comparisons.forget(key_of(config_map("1")))
    assert comparisons.differs(config_map("1"), live("other", "7"))

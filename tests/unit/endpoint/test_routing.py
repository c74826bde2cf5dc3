from __future__ import annotations

from typing import Any

import pytest

from hack.generate.fields import fields
from puna.api.routing import Routing
from puna.api.schema import structural_schema
from puna.endpoint.routing import effective_routing
from puna.settings import RouterSettings

SETTINGS = RouterSettings()


def leaves(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        at = f"{path}.{name}"
        found |= leaves(value, at) if isinstance(value, dict) else {at: value}
    return found


IN_FORCE = leaves(effective_routing(Routing(), SETTINGS).to_dict())
DESCRIBED = {
    field.path: field.description
    for field in fields(structural_schema(Routing), "")
    if field.type != "object"
}


def test_nothing_is_left_open() -> None:
    assert set(IN_FORCE) == set(DESCRIBED)


@pytest.mark.parametrize("path", DESCRIBED)
def test_the_reference_names_the_value_that_is_in_force_without_one(path: str) -> None:
    assert f" {IN_FORCE[path]} if absent" in DESCRIBED[path]


def test_zero_is_a_value() -> None:
    wanted = Routing.model_validate({"queue": {"maxDepth": 0}, "retries": 0})
    found = effective_routing(wanted, SETTINGS)
    assert (found.queue.max_depth, found.retries) == (0, 0)
    assert found.queue.timeout_seconds == SETTINGS.queue_timeout_seconds

from __future__ import annotations

import pytest

from puna.api.pool import Pool
from puna.endpoint.disruption_budget import build_disruption_budget
from tests.factories import NAME, NAMESPACE


def pool(replicas: int) -> Pool:
    return Pool.model_validate({"name": "gpu", "accelerator": "cpu", "replicas": replicas})


@pytest.mark.parametrize("replicas", [0, 1])
def test_one_server_has_no_budget_lest_it_pin_its_node(replicas: int) -> None:
    made = build_disruption_budget(namespace=NAMESPACE, endpoint=NAME, pool=pool(replicas))
    assert made is None


def test_several_servers_leave_one_at_a_time_whatever_their_revision() -> None:
    made = build_disruption_budget(namespace=NAMESPACE, endpoint=NAME, pool=pool(2))
    assert made is not None
    assert made["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"puna.dev/endpoint": "chat", "puna.dev/pool": "gpu"}},
    }


def test_names_of_budgets_do_not_collide_where_a_dash_moves() -> None:
    def name(endpoint: str, part: str) -> str:
        wanted = Pool.model_validate({"name": part, "accelerator": "cpu", "replicas": 2})
        made = build_disruption_budget(namespace=NAMESPACE, endpoint=endpoint, pool=wanted)
        assert made is not None
        return str(made["metadata"]["name"])

    assert name("a-b", "c") != name("a", "b-c")

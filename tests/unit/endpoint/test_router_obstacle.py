"""What keeps a namespace's router from being built is told by its endpoints."""

from __future__ import annotations

from puna.api.conditions import find
from puna.api.reasons import ConditionType, Reason
from puna.core.findings import Finding
from puna.endpoint.plan import plan
from tests.factories import NOW, endpoint, observed, settings

OBSTACLE = Finding(Reason.NAME_CONFLICT, "Service puna-router exists and does not belong to Puna")


def test_an_endpoint_without_a_router_says_why() -> None:
    seen = observed(router_obstacle=OBSTACLE, routers=(), backend_key=None)
    status = plan(endpoint(), seen, settings(), NOW).status
    for kind in (ConditionType.AVAILABLE, ConditionType.PROGRESSING, ConditionType.READY):
        condition = find(status.conditions, kind)
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == (
            "False",
            OBSTACLE.reason,
            OBSTACLE.message,
        )

from __future__ import annotations

import pytest

from puna.namespace.service import build_disruption_budget, build_service, router_selector
from puna.settings import SERVICE_TYPES, RouterSettings, ServiceType
from tests.factories import NAMESPACE


@pytest.mark.parametrize("service_type", SERVICE_TYPES)
def test_the_service_of_the_router_has_the_type_that_is_set(service_type: ServiceType) -> None:
    service = build_service(NAMESPACE, RouterSettings(service_type=service_type))
    assert service["metadata"]["name"] == "puna-router"
    assert service["spec"]["type"] == service_type
    assert service["spec"]["selector"] == router_selector()


def test_one_router_has_no_budget_lest_it_pin_its_node() -> None:
    assert build_disruption_budget(NAMESPACE, RouterSettings(replicas=1)) is None


def test_several_routers_leave_one_at_a_time() -> None:
    budget = build_disruption_budget(NAMESPACE, RouterSettings(replicas=2))
    assert budget is not None
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": router_selector()},
    }


@pytest.mark.parametrize(("secret", "port"), [(None, ("http", 80)), ("tls", ("https", 443))])
def test_a_certificate_moves_the_service_to_the_port_of_https(
    secret: str | None, port: tuple[str, int]
) -> None:
    (found,) = build_service(NAMESPACE, RouterSettings(tls_secret=secret))["spec"]["ports"]
    assert (found["name"], found["port"]) == port

from __future__ import annotations

from puna.endpoint.service import build_service
from puna.namespace.service import router_selector
from puna.settings import RouterSettings
from tests.factories import NAME, NAMESPACE


def test_the_service_of_an_endpoint_leads_to_the_namespaces_routers() -> None:
    service = build_service(namespace=NAMESPACE, endpoint=NAME, settings=RouterSettings())
    assert service["metadata"]["name"] == "chat"
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": router_selector(),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


def test_a_router_with_a_certificate_is_reached_over_https() -> None:
    service = build_service(
        namespace=NAMESPACE, endpoint=NAME, settings=RouterSettings(tls_secret="chat-tls")
    )
    assert service["spec"]["ports"] == [
        {"name": "https", "port": 443, "targetPort": "http", "protocol": "TCP"}
    ]

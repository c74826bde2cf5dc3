from __future__ import annotations

from puna.endpoint.service import build_service
from puna.namespace.service import router_selector
from tests.factories import NAME, NAMESPACE


def test_the_service_of_an_endpoint_leads_to_the_namespaces_routers() -> None:
    service = build_service(namespace=NAMESPACE, endpoint=NAME)
    assert service["metadata"]["name"] == "chat"
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": router_selector(),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }

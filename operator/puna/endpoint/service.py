"""The Service that users of one endpoint name."""

from __future__ import annotations

from puna.core.naming import COMPONENT, COMPONENT_ROUTER, ROUTER_NAME, endpoint_labels
from puna.core.plan import Manifest
from puna.settings import RouterSettings


def build_service(*, namespace: str, endpoint: str, settings: RouterSettings) -> Manifest:
    """Return a Service of the endpoint's name in front of the namespace's routers."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": endpoint,
            "namespace": namespace,
            "labels": endpoint_labels(endpoint, COMPONENT_ROUTER),
        },
        "spec": {
            "type": "ClusterIP",
            "selector": {
                "app.kubernetes.io/instance": ROUTER_NAME,
                COMPONENT: COMPONENT_ROUTER,
            },
            "ports": [settings.service_port],
        },
    }

"""NetworkPolicies: clients reach the router; router and operator alone reach a llama-server."""

from __future__ import annotations

from typing import Final

from puna.core.naming import (
    BACKENDS_NAME,
    COMPONENT,
    COMPONENT_MODEL,
    COMPONENT_OPERATOR,
    COMPONENT_ROUTER,
    FIELD_MANAGER,
    FIRST_PORT,
    MANAGED_BY,
    PORT_COUNT,
    ROUTER_NAME,
)
from puna.core.plan import Manifest
from puna.namespace.anchor import router_labels
from puna.settings import Settings

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Label that the API server gives every namespace."""


def build_network_policies(namespace: str, settings: Settings) -> tuple[Manifest, Manifest]:
    """Return the policy of the router and the policy of the llama-servers."""
    callers: list[Manifest] = [{"podSelector": {"matchLabels": _selector(COMPONENT_ROUTER)}}]
    if settings.namespace is not None:
        callers.append(_operator(settings.namespace))
    router = _policy(
        ROUTER_NAME,
        namespace,
        component=COMPONENT_ROUTER,
        ingress=[
            {
                "ports": [
                    {"port": "http", "protocol": "TCP"},
                    {"port": "control", "protocol": "TCP"},
                ]
            }
        ],
    )
    backends = _policy(
        BACKENDS_NAME,
        namespace,
        component=COMPONENT_MODEL,
        ingress=[
            {
                "from": callers,
                "ports": [
                    {
                        "port": FIRST_PORT,
                        "endPort": FIRST_PORT + PORT_COUNT - 1,
                        "protocol": "TCP",
                    }
                ],
            }
        ],
    )
    return router, backends


def _operator(namespace: str) -> Manifest:
    """Return who asks golden prompts of a canary: the labels are the chart's."""
    labels = {"app.kubernetes.io/name": FIELD_MANAGER, COMPONENT: COMPONENT_OPERATOR}
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": labels},
    }


def _policy(name: str, namespace: str, *, component: str, ingress: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": router_labels()},
        "spec": {
            "podSelector": {"matchLabels": _selector(component)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _selector(component: str) -> dict[str, str]:
    return {COMPONENT: component, MANAGED_BY: FIELD_MANAGER}

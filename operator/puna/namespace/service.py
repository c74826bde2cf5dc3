"""The router's own Service, and its PodDisruptionBudget."""

from __future__ import annotations

from puna.core.naming import COMPONENT, COMPONENT_ROUTER, ROUTER_NAME
from puna.core.plan import Manifest
from puna.namespace.anchor import router_labels
from puna.settings import RouterSettings


def router_selector() -> dict[str, str]:
    """Return the labels that select a namespace's router Pods."""
    return {"app.kubernetes.io/instance": ROUTER_NAME, COMPONENT: COMPONENT_ROUTER}


def build_service(namespace: str, settings: RouterSettings) -> Manifest:
    """Return the Service that reaches every endpoint of the namespace by its name as `model`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ROUTER_NAME, "namespace": namespace, "labels": router_labels()},
        "spec": {
            "type": settings.service_type,
            "selector": router_selector(),
            "ports": [settings.service_port],
        },
    }


def build_disruption_budget(namespace: str, settings: RouterSettings) -> Manifest | None:
    """Return a budget of one router at a time; None for a single one."""
    if settings.replicas <= 1:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": ROUTER_NAME, "namespace": namespace, "labels": router_labels()},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": router_selector()}},
    }

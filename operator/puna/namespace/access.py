"""What the router's process may read: its ServiceAccount and the binding of its ClusterRole."""

from __future__ import annotations

from puna.core.naming import ROUTER_NAME
from puna.core.plan import Manifest
from puna.namespace.anchor import router_labels


def build_service_account(namespace: str) -> Manifest:
    """Return the ServiceAccount of the router."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ROUTER_NAME, "namespace": namespace, "labels": router_labels()},
        "automountServiceAccountToken": False,
    }


def build_role_binding(namespace: str) -> Manifest:
    """Return the binding of ClusterRole `puna-router` in this namespace alone."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": ROUTER_NAME, "namespace": namespace, "labels": router_labels()},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": ROUTER_NAME,
        },
        "subjects": [{"kind": "ServiceAccount", "name": ROUTER_NAME, "namespace": namespace}],
    }

"""Objects that `puna up` applies: custom resources, access rules, the storage class. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from puna_cli.front.volumes import PROVISIONER, STORAGE_CLASS

Manifest = dict[str, Any]


def custom_resources() -> list[Manifest]:
    """The CustomResourceDefinitions, from the code that reads them."""
    from puna.api.crd import custom_resource_definitions  # noqa: PLC0415 - slow to import

    return custom_resource_definitions()


def access_rules() -> list[Manifest]:
    """Cluster roles of operator, routers and front, and their bindings."""
    from puna.api.rbac import OPERATOR_RULES  # noqa: PLC0415 - slow to import

    return [
        cluster_role("puna-operator", OPERATOR_RULES),
        router_role(),
        cluster_role("puna-front", FRONT_RULES),
        cluster_role_binding("puna-operator", user="puna-operator"),
        cluster_role_binding("puna-front", user="puna-front"),
    ]


def router_role() -> Manifest:
    """The cluster role that the operator binds to each namespace's router."""
    from puna.api.rbac import ROUTER_RULES  # noqa: PLC0415 - slow to import

    return cluster_role("puna-router", ROUTER_RULES)


FRONT_RULES: Final[list[Manifest]] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes"],
        "verbs": ["get", "list", "watch", "create", "delete"],
    },
]


def storage_class() -> Manifest:
    """The default StorageClass: a claim is a folder of this machine."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def cluster_role(name: str, rules: Iterable[Manifest]) -> Manifest:
    """A ClusterRole."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": list(rules),
    }


def cluster_role_binding(role: str, *, user: str) -> Manifest:
    """A binding of a ClusterRole, of the same name, to a user."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }

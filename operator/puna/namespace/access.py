"""What the router's process may read: its ServiceAccount, its roles and their bindings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from puna.api.llmendpoint import LLMEndpoint
from puna.api.rbac import secret_rules
from puna.core.naming import ROUTER_NAME, ROUTER_SECRETS_NAME
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
    return _binding(namespace, ROUTER_NAME, "ClusterRole")


def router_secrets(endpoints: Iterable[LLMEndpoint]) -> tuple[str, ...]:
    """Return the Secrets that a router has to read for its endpoints."""
    return tuple(sorted({name for endpoint in endpoints for name in _read_by_router(endpoint)}))


def _read_by_router(endpoint: LLMEndpoint) -> Iterator[str]:
    if endpoint.spec.access is not None:
        yield endpoint.spec.access.api_key_secret_ref.name
    for external in endpoint.spec.external_endpoints:
        for ref in (external.api_key_secret_ref, external.ca_secret_ref):
            if ref is not None:
                yield ref.name


def build_secrets_role(namespace: str, names: tuple[str, ...]) -> tuple[Manifest, ...]:
    """Return the Role that lets the router read Secrets by name, and its binding; none for none."""
    if not names:
        return ()
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {
            "name": ROUTER_SECRETS_NAME,
            "namespace": namespace,
            "labels": router_labels(),
        },
        "rules": list(secret_rules(names)),
    }
    return role, _binding(namespace, ROUTER_SECRETS_NAME, "Role")


def _binding(namespace: str, name: str, kind: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": router_labels()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": ROUTER_NAME, "namespace": namespace}],
    }

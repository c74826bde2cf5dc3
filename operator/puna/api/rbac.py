"""What the operator and a namespace's router may do, as rules of RBAC: constants, no wildcards.

The chart and `puna up` grant these; a test runs the operator with them and with nothing else.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from puna.api import GROUP

PolicyRule: TypeAlias = dict[str, Any]

ROUTER_ROLE: Final = "puna-router"
"""ClusterRole that each namespace's RoleBinding refers to: the one role that the operator binds."""

_READ: Final = ("get", "list", "watch")
_OWN: Final = (*_READ, "create", "patch", "delete")


def _rule(
    group: str, *resources: str, verbs: tuple[str, ...], names: tuple[str, ...] = ()
) -> PolicyRule:
    rule: PolicyRule = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


OPERATOR_RULES: Final[tuple[PolicyRule, ...]] = (
    # What users write, its status, and (where clusters enforce it) leave to name it as an owner.
    _rule(GROUP, "llmendpoints", "presets", verbs=_READ),
    _rule(GROUP, "llmendpoints/status", verbs=("patch",)),
    _rule(GROUP, "llmendpoints/finalizers", verbs=("update",)),
    # Children.
    _rule("apps", "deployments", "controllerrevisions", verbs=_OWN),
    _rule("", "configmaps", "services", "serviceaccounts", verbs=_OWN),
    _rule("policy", "poddisruptionbudgets", verbs=_OWN),
    _rule("networking.k8s.io", "networkpolicies", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "rolebindings", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "clusterroles", verbs=("bind",), names=(ROUTER_ROLE,)),
    # The backend key. A name cannot restrict `create`, since the object is not there yet.
    _rule("", "secrets", verbs=("get", "patch", "delete"), names=("puna-backend-key",)),
    _rule("", "secrets", verbs=("create",)),
    # What is observed.
    _rule("", "pods", verbs=_READ),
    _rule("", "pods/log", verbs=("get",)),
    _rule("", "persistentvolumeclaims", verbs=("get",)),
    # What is told.
    _rule("", "events", verbs=("create", "patch")),
)
"""Rules of the operator's ClusterRole."""

ROUTER_RULES: Final[tuple[PolicyRule, ...]] = (_rule("", "configmaps", "pods", verbs=_READ),)
"""Rules of ClusterRole `puna-router`: what a router watches in its own namespace."""

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
    # What users write, and its status.
    _rule(GROUP, "llmendpoints", "presets", verbs=_READ),
    _rule(GROUP, "llmendpoints/status", verbs=("patch",)),
    # Leave to name owners with blockOwnerDeletion, which strict clusters (OpenShift) ask for: the
    # endpoint, and the anchor of a namespace's router.
    _rule(GROUP, "llmendpoints/finalizers", verbs=("update",)),
    _rule("", "configmaps/finalizers", verbs=("update",), names=("puna-router",)),
    # Children.
    _rule("apps", "deployments", "controllerrevisions", verbs=_OWN),
    _rule("", "configmaps", "services", "serviceaccounts", verbs=_OWN),
    _rule("policy", "poddisruptionbudgets", verbs=_OWN),
    _rule("networking.k8s.io", "networkpolicies", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "rolebindings", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "clusterroles", verbs=("bind",), names=(ROUTER_ROLE,)),
    # The backend key, watched by its name. A name cannot restrict `create`: nothing is there yet.
    _rule(
        "",
        "secrets",
        verbs=("get", "list", "watch", "patch", "delete"),
        names=("puna-backend-key",),
    ),
    _rule("", "secrets", verbs=("create",)),
    # What is observed.
    _rule("", "pods", verbs=_READ),
    _rule("", "pods/log", verbs=("get",)),
    _rule("", "persistentvolumeclaims", verbs=("get",)),
    # What is told.
    _rule("", "events", verbs=("create",)),
)
"""Rules of the operator's ClusterRole."""

SECRET_RULES: Final[tuple[PolicyRule, ...]] = (_rule("", "secrets", verbs=("get",)),)
"""Rules for those who want a missing Secret to be a condition at once, rather than a waiting Pod.

Existence cannot be granted without content, so they are not part of the operator's rules.
"""

ROUTER_RULES: Final[tuple[PolicyRule, ...]] = (_rule("", "configmaps", "pods", verbs=_READ),)
"""Rules of ClusterRole `puna-router`: what a router watches in its own namespace."""

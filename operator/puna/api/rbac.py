"""What the operator and a namespace's router may do, as rules of RBAC: constants, no wildcards.

The chart and `puna up` grant these; a test runs the operator with them and with nothing else.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from puna.api import GROUP

PolicyRule: TypeAlias = dict[str, Any]

ROUTER_ROLE: Final = "puna-router"
"""ClusterRole that each namespace's RoleBinding refers to: the one that the operator binds."""
ROUTER_SECRETS_ROLE: Final = "puna-router-secrets"
"""Role of each namespace in which the router has Secrets to read, by their names."""

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
    _rule(GROUP, "llmendpoints/status", "trainingjobs/status", verbs=("patch",)),
    # `ttlSecondsAfterFinished` is the end of the TrainingJob itself.
    _rule(GROUP, "trainingjobs", verbs=(*_READ, "delete")),
    # Leave to name owners with blockOwnerDeletion, which strict clusters (OpenShift) ask for: the
    # endpoint, the training job, and the anchor of a namespace's router.
    _rule(GROUP, "llmendpoints/finalizers", "trainingjobs/finalizers", verbs=("update",)),
    _rule("", "configmaps/finalizers", verbs=("update",), names=("puna-router",)),
    # Children.
    _rule("apps", "deployments", "controllerrevisions", verbs=_OWN),
    _rule("batch", "jobs", verbs=_OWN),
    _rule("", "configmaps", "services", "serviceaccounts", verbs=_OWN),
    _rule("policy", "poddisruptionbudgets", verbs=_OWN),
    _rule("networking.k8s.io", "networkpolicies", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "rolebindings", verbs=_OWN),
    _rule("rbac.authorization.k8s.io", "clusterroles", verbs=("bind",), names=(ROUTER_ROLE,)),
    # A name cannot restrict `create`: nothing is there yet.
    _rule("rbac.authorization.k8s.io", "roles", verbs=(*_READ, "create")),
    _rule(
        "rbac.authorization.k8s.io",
        "roles",
        verbs=("patch", "delete"),
        names=(ROUTER_SECRETS_ROLE,),
    ),
    # Nobody may grant what he does not hold: to let a router read the Secrets that specs name, the
    # operator has to be able to read them. It writes its own alone, the backend key.
    _rule("", "secrets", verbs=(*_READ, "create")),
    _rule("", "secrets", verbs=("patch", "delete"), names=("puna-backend-key",)),
    # The volume that a run writes to; none is ever deleted.
    _rule("", "persistentvolumeclaims", verbs=(*_READ, "create", "patch")),
    # What is observed.
    _rule("", "pods", verbs=_READ),
    _rule("", "pods/log", verbs=("get",)),
    # What is told.
    _rule("", "events", verbs=("create",)),
)
"""Rules of the operator's ClusterRole."""

ROUTER_RULES: Final[tuple[PolicyRule, ...]] = (_rule("", "configmaps", "pods", verbs=_READ),)
"""Rules of ClusterRole `puna-router`: what every router watches in its own namespace."""


def secret_rules(names: tuple[str, ...]) -> tuple[PolicyRule, ...]:
    """Return the rules of a namespace's Role `puna-router-secrets`: these Secrets and no other."""
    return (_rule("", "secrets", verbs=_READ, names=names),)

"""Every permission is listed here once more: a new one is a deliberate change."""

from __future__ import annotations

from collections.abc import Iterable

from puna.api.rbac import OPERATOR_RULES, ROUTER_RULES, PolicyRule, secret_rules

OWN = "get list watch create patch delete"
READ = "get list watch"
OPERATOR = {
    "puna.dev/llmendpoints": READ,
    "puna.dev/presets": READ,
    "puna.dev/trainingjobs": f"{READ} delete",
    "puna.dev/llmendpoints/status": "patch",
    "puna.dev/trainingjobs/status": "patch",
    "puna.dev/llmendpoints/finalizers": "update",
    "puna.dev/trainingjobs/finalizers": "update",
    "/configmaps/finalizers puna-router": "update",
    "apps/deployments": OWN,
    "apps/controllerrevisions": OWN,
    "batch/jobs": OWN,
    "/configmaps": OWN,
    "/services": OWN,
    "/serviceaccounts": OWN,
    "policy/poddisruptionbudgets": OWN,
    "networking.k8s.io/networkpolicies": OWN,
    "rbac.authorization.k8s.io/rolebindings": OWN,
    "rbac.authorization.k8s.io/clusterroles puna-router": "bind",
    "rbac.authorization.k8s.io/roles": "get list watch create",
    "rbac.authorization.k8s.io/roles puna-router-secrets": "patch delete",
    "/secrets": "get list watch create",
    "/secrets puna-backend-key": "patch delete",
    "/pods": READ,
    "/pods/log": "get",
    "/persistentvolumeclaims": "get list watch create patch",
    "/events": "create",
}
ROUTER = {"/configmaps": READ, "/pods": READ}


def granted(rules: Iterable[PolicyRule]) -> dict[str, str]:
    return {
        " ".join([f"{group}/{resource}", *rule.get("resourceNames", [])]): " ".join(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_operator_may_do_this_and_no_more() -> None:
    assert granted(OPERATOR_RULES) == OPERATOR


def test_a_router_may_read_this_and_no_more() -> None:
    assert granted(ROUTER_RULES) == ROUTER


def test_a_router_may_read_those_secrets_that_are_named() -> None:
    assert granted(secret_rules(("chat-keys", "code-keys"))) == {
        "/secrets chat-keys code-keys": READ
    }

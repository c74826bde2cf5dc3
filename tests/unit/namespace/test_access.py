from __future__ import annotations

from puna.namespace.access import (
    build_role_binding,
    build_secrets_role,
    build_service_account,
    router_secrets,
)
from tests.factories import NAMESPACE, endpoint


def test_no_token_is_mounted_by_itself() -> None:
    assert build_service_account(NAMESPACE)["automountServiceAccountToken"] is False


def test_the_account_is_bound_to_the_routers_role_in_its_namespace_alone() -> None:
    binding = build_role_binding(NAMESPACE)
    assert binding["kind"] == "RoleBinding"
    assert binding["roleRef"]["name"] == "puna-router"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "puna-router", "namespace": NAMESPACE}
    ]


def test_a_router_may_read_the_secrets_that_its_endpoints_name() -> None:
    team, other = ({"apiKeySecretRef": {"name": name}} for name in ("team", "other"))
    endpoints = [endpoint(access=team), endpoint(access=other), endpoint(access=team), endpoint()]
    assert router_secrets(endpoints) == ("other", "team")
    role, binding = build_secrets_role(NAMESPACE, router_secrets(endpoints))
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "list", "watch"],
            "resourceNames": ["other", "team"],
        }
    ]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": "puna-router-secrets",
    }
    assert binding["subjects"][0]["name"] == "puna-router"


def test_where_nobody_names_a_secret_none_may_be_read() -> None:
    assert build_secrets_role(NAMESPACE, router_secrets([endpoint()])) == ()

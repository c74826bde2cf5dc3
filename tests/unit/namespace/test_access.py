from __future__ import annotations

from puna.namespace.access import build_role_binding, build_service_account
from tests.factories import NAMESPACE


def test_no_token_is_mounted_by_itself() -> None:
    assert build_service_account(NAMESPACE)["automountServiceAccountToken"] is False


def test_the_account_is_bound_to_the_routers_role_in_its_namespace_alone() -> None:
    binding = build_role_binding(NAMESPACE)
    assert binding["kind"] == "RoleBinding"
    assert binding["roleRef"]["name"] == "puna-router"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "puna-router", "namespace": NAMESPACE}
    ]

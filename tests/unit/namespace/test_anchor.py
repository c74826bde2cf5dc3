from __future__ import annotations

from puna.namespace.anchor import build_anchor, find_anchor
from tests.factories import endpoint, router_namespace


def test_every_endpoint_owns_the_anchor_and_none_controls_it() -> None:
    anchor = build_anchor(
        router_namespace(endpoint(name="a", uid="1"), endpoint(name="b", uid="2"))
    )
    assert anchor["metadata"]["ownerReferences"] == [
        {"apiVersion": "puna.dev/v1alpha1", "kind": "LLMEndpoint", "name": name, "uid": uid}
        for name, uid in (("a", "1"), ("b", "2"))
    ]


def test_the_anchor_is_found_by_kind_and_name() -> None:
    anchor = build_anchor(router_namespace())
    other = anchor | {"metadata": {"name": "chat-router-config"}}
    service = anchor | {"kind": "Service"}
    assert find_anchor([service, other, anchor]) == anchor
    assert find_anchor([service, other]) is None

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.plan import Manifest, ObjectKey, Plan
from puna.namespace.observed import ObservedNamespace
from puna.namespace.plan import plan
from puna.settings import RouterSettings
from tests.factories import NAMESPACE, NOW, endpoint, router_namespace, settings

FRESH = "fresh-key"


def live(kind: str, name: str = "puna-router", **members: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid of {kind}"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **members}


ANCHOR = live("ConfigMap")
ACCOUNT = live("ServiceAccount")


def planned(*children: Manifest, replicas: int = 1, **seen: Any) -> Plan[Finding | None]:
    observed = ObservedNamespace(children=children, fresh_key=FRESH)
    return plan(
        router_namespace(),
        replace(observed, **seen),
        settings(router=RouterSettings(replicas=replicas)),
        NOW,
    )


def names(made: Plan[Finding | None]) -> list[tuple[str, str]]:
    return [(child["kind"], child["metadata"]["name"]) for child in made.children or ()]


def test_the_anchor_comes_alone_since_it_has_to_own_the_rest() -> None:
    assert names(planned()) == [("ConfigMap", "puna-router")]


def test_the_router_waits_for_its_account() -> None:
    kinds = [kind for kind, _ in names(planned(ANCHOR))]
    assert "ServiceAccount" in kinds
    assert "Deployment" not in kinds


def test_everything_of_a_router_is_planned_once_anchor_and_account_are_there() -> None:
    assert names(planned(ANCHOR, ACCOUNT)) == [
        ("ConfigMap", "puna-router"),
        ("Secret", "puna-backend-key"),
        ("ServiceAccount", "puna-router"),
        ("RoleBinding", "puna-router"),
        ("Deployment", "puna-router"),
        ("Service", "puna-router"),
        ("NetworkPolicy", "puna-router"),
        ("NetworkPolicy", "puna-backends"),
    ]


def test_several_routers_have_a_disruption_budget() -> None:
    assert ("PodDisruptionBudget", "puna-router") in names(planned(ANCHOR, ACCOUNT, replicas=2))


def test_a_plan_carried_out_is_planned_again() -> None:
    made = planned(ANCHOR, ACCOUNT).children
    assert made is not None
    secret = next(child for child in made if child["kind"] == "Secret")
    children = [
        child | {"metadata": child["metadata"] | {"uid": f"uid of {child['kind']}"}}
        for child in made
    ]
    again = planned(*children, backend_key=secret, fresh_key="another")
    assert again.children == made


def test_a_key_is_made_once() -> None:
    secret = live("Secret", "puna-backend-key", data={"key": "b2xk"})
    made = planned(ANCHOR, ACCOUNT, secret, backend_key=secret)
    (planned_secret,) = [child for child in made.children or () if child["kind"] == "Secret"]
    assert planned_secret["data"] == {"key": "b2xk"}


def test_foreign_objects_are_left_alone_and_looked_at_again() -> None:
    foreign = frozenset({ObjectKey("v1", "Service", NAMESPACE, "puna-router")})
    made = planned(ANCHOR, foreign=foreign)
    assert (made.children, made.requeue_after) == (None, timedelta(seconds=10))


def test_a_refused_child_is_tried_again_after_a_minute() -> None:
    assert planned(ANCHOR, rejected="denied").requeue_after == timedelta(seconds=60)
    assert planned(ANCHOR).requeue_after is None


def test_every_child_has_our_labels_and_no_owner_but_the_anchors() -> None:
    anchor, *others = planned(ANCHOR, ACCOUNT, replicas=2).children or ()
    assert anchor["metadata"]["ownerReferences"][0]["name"] == endpoint().metadata.name
    for child in (anchor, *others):
        assert child["metadata"]["namespace"] == NAMESPACE
        assert child["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "puna"
        assert child["metadata"]["labels"]["app.kubernetes.io/instance"] == "puna-router"
    assert not any("ownerReferences" in child["metadata"] for child in others)


def test_a_foreign_object_of_a_routers_name_is_told_to_the_endpoints() -> None:
    told = planned(foreign=frozenset({ObjectKey("v1", "Service", NAMESPACE, "puna-router")})).status
    assert told is not None
    assert told.reason is Reason.NAME_CONFLICT
    assert "Service puna-router" in told.message


def test_a_refused_object_of_the_router_is_told_to_the_endpoints() -> None:
    assert planned(ANCHOR, rejected="Service puna-router: exceeded quota").status == Finding(
        Reason.APPLY_REJECTED, "the namespace's router: Service puna-router: exceeded quota"
    )


def test_nothing_is_told_of_a_router_that_can_be_built() -> None:
    assert planned(ANCHOR, ACCOUNT).status is None

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from puna.api.conditions import find
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.core.plan import Manifest, ObjectKey
from puna.endpoint.plan import plan
from puna_router.config import CONFIG_KEY, AccessConfig, EndpointConfig
from tests.factories import (
    HTTPS_MODEL,
    NOW,
    backend_key,
    endpoint,
    observed,
    preset,
    presets,
    settings,
)
from tests.fake_cluster import FakeCluster

BETTER = HTTPS_MODEL | {"uri": "https://models.example/better.gguf"}


def settled(**spec: Any) -> FakeCluster:
    cluster = FakeCluster(endpoint(**spec), presets(preset("precise")))
    cluster.settle()
    return cluster


def kinds(children: tuple[Manifest, ...] | None) -> list[str]:
    return [child["kind"] for child in children or ()]


def test_what_starts_pods_is_applied_first() -> None:
    made = plan(endpoint(replicas=2), observed(), settings(), NOW)
    assert kinds(made.children) == [
        "ControllerRevision",
        "Deployment",
        "ConfigMap",
        "PodDisruptionBudget",
        "Service",
    ]


def test_a_refused_endpoint_keeps_its_children() -> None:
    made = plan(endpoint(presetRef={"name": "absent"}), observed(), settings(), NOW)
    assert made.children is None
    assert made.requeue_after == timedelta(seconds=10)


def test_no_foreign_object_is_touched() -> None:
    foreign = frozenset({ObjectKey("v1", "Service", "team", "chat")})
    assert plan(endpoint(), observed(foreign=foreign), settings(), NOW).children is None


@pytest.mark.parametrize("secret", [None, {"data": {}}, {}])
def test_no_server_is_started_without_the_key_it_has_to_require(secret: Manifest | None) -> None:
    made = plan(endpoint(), observed(backend_key=secret), settings(), NOW)
    assert "Deployment" not in kinds(made.children)


def test_each_server_keeps_its_key_while_the_secret_is_away() -> None:
    cluster = settled(pools=[{"name": name, "accelerator": "cpu"} for name in ("a", "b")])
    seen = cluster.observe()
    annotations = {"a": "of a", "b": "of b"}
    children = tuple(
        child
        | {
            "spec": {
                "template": {
                    "metadata": {
                        "annotations": {
                            "puna.dev/backend-key-digest": annotations[
                                child["metadata"]["labels"]["puna.dev/pool"]
                            ]
                        }
                    }
                }
            }
        }
        if child["kind"] == "Deployment"
        else child
        for child in seen.children
    )
    for order in (children, children[::-1]):
        made = plan(
            cluster.endpoint, replace(seen, children=order, backend_key=None), settings(), NOW
        )
        found = {
            child["metadata"]["labels"]["puna.dev/pool"]: child["spec"]["template"]["metadata"][
                "annotations"
            ]["puna.dev/backend-key-digest"]
            for child in made.children or ()
            if child["kind"] == "Deployment"
        }
        assert found == annotations


def test_another_key_reaches_every_server() -> None:
    cluster = settled()
    seen = cluster.observe()
    one = plan(cluster.endpoint, seen, settings(), NOW)
    other = plan(
        cluster.endpoint, replace(seen, backend_key=backend_key("b3RoZXI=")), settings(), NOW
    )
    assert one.children != other.children


def test_an_endpoint_at_rest_is_looked_at_no_more() -> None:
    made = settled().plan(asked=False)
    assert (made.events, made.requeue_after) == ((), None)


def test_a_missing_child_is_planned_again() -> None:
    cluster = settled(replicas=2)
    before = cluster.plan().children
    for key in list(cluster.objects):
        if key.kind != "ControllerRevision":
            live = cluster.objects.pop(key)
            assert cluster.plan().children == before, key.kind
            cluster.objects[key] = live


def test_a_deleted_revision_is_stored_again_as_it_was() -> None:
    cluster = settled()
    (live,) = cluster.of_kind("ControllerRevision")
    cluster.objects = {key: item for key, item in cluster.objects.items() if item is not live}
    cluster.settle()
    (again,) = cluster.of_kind("ControllerRevision")
    assert (again["data"], again["metadata"]["labels"]) == (
        live["data"],
        live["metadata"]["labels"],
    )


@pytest.mark.parametrize(("waited", "expected"), [(0, 0.1), (1, 0.1), (20, 2.0), (3600, 10.0)])
def test_routers_that_do_not_come_round_are_asked_less_and_less(
    waited: int, expected: float
) -> None:
    cluster = settled()
    cluster.edit(model=BETTER)
    cluster.reconcile()
    cluster.run_controllers()
    for name in cluster.pods:
        cluster.set_ready(name)
    cluster.reconcile()
    cluster.now += timedelta(seconds=waited)
    assert len(cluster.deployed()) == 2
    assert cluster.plan().requeue_after == timedelta(seconds=expected)


def test_servers_that_the_router_calls_unhealthy_are_asked_about_less_and_less() -> None:
    cluster = settled()
    for name in cluster.pods:
        cluster.set_ready(name, ready=False)
    cluster.reconcile()
    cluster.routers["router-1"] = "{}"
    seen = replace(cluster.observe(asked=False), routers_asked=True)
    for name in cluster.pods:
        cluster.set_ready(name)
    seen = replace(seen, pods=tuple(cluster.pods.values()))
    later = cluster.now + timedelta(seconds=50)
    made = plan(cluster.endpoint, seen, settings(), later)
    assert cluster.condition("Ready")[0] == "False"
    assert made.requeue_after == timedelta(seconds=5)


def test_a_router_that_follows_a_change_of_presets_leaves_an_endpoint_ready() -> None:
    cluster = settled(presets=["precise"])
    cluster.presets = presets(preset("precise", sampling={"temperature": 1}))
    cluster.reconcile()
    behind = cluster.reconcile()
    assert cluster.condition("Ready") == ("True", "Ready")
    assert behind.requeue_after == timedelta(seconds=1)
    cluster.settle()
    assert cluster.plan().requeue_after is None


def test_a_router_that_refuses_a_change_of_presets_makes_an_endpoint_unready() -> None:
    cluster = settled(presets=["precise"])
    cluster.presets = presets(preset("precise", sampling={"temperature": 1}))
    cluster.refusing.add("router-1")
    cluster.reconcile()
    made = cluster.reconcile()
    assert cluster.condition("Ready") == ("False", "RouterRejected")
    assert [(event.type, event.reason) for event in made.events] == [
        ("Warning", EventReason.BECAME_UNREADY)
    ]
    cluster.refusing.clear()
    cluster.settle()
    assert cluster.condition("Ready") == ("True", "Ready")


def test_external_servers_alone_make_an_endpoint_ready_once_the_router_knows_them() -> None:
    studio = {"name": "studio", "url": "https://studio.example"}
    cluster = FakeCluster(endpoint(replicas=0, externalEndpoints=[studio]))
    cluster.reconcile()
    cluster.run_controllers()
    assert cluster.condition("Available") == ("True", "ExternalServers")
    assert cluster.reconcile().requeue_after is not None
    assert cluster.condition("Ready") == ("False", "RouterNotReady")
    cluster.settle()
    assert cluster.condition("Ready") == ("True", "Ready")
    cluster.routers.clear()
    cluster.reconcile()
    assert cluster.condition("Available") == ("False", "RouterNotReady")


def test_no_router_is_asked_about_an_endpoint_without_servers() -> None:
    assert settled(replicas=0).plan().requeue_after is None


def test_a_refused_child_is_tried_again_after_a_minute() -> None:
    made = plan(endpoint(), observed(rejected="denied"), settings(), NOW)
    assert made.requeue_after == timedelta(seconds=60)


def test_a_fetch_is_looked_at_every_two_seconds() -> None:
    cluster = FakeCluster(endpoint())
    cluster.reconcile()
    cluster.run_controllers()
    fetching = {"name": "fetch", "state": {"running": {}}}
    cluster.pods = {
        name: pod | {"status": {"phase": "Pending", "initContainerStatuses": [fetching]}}
        for name, pod in cluster.pods.items()
    }
    assert cluster.plan().requeue_after == timedelta(seconds=2)
    assert cluster.plan().status.conditions[2].reason == "Fetching"


KEYED = {"apiKeySecretRef": {"name": "team-keys"}}


def document(children: tuple[Manifest, ...] | None) -> EndpointConfig:
    (found,) = [child for child in children or () if child["kind"] == "ConfigMap"]
    return EndpointConfig.model_validate_json(found["data"][CONFIG_KEY])


def test_keys_that_are_missing_close_the_endpoint_and_hold_nothing_up() -> None:
    missing = observed(missing_secrets=frozenset({"team-keys"}))
    made = plan(endpoint(access=KEYED), missing, settings(), NOW)
    assert document(made.children).access == AccessConfig(secret="team-keys")
    assert "Deployment" in kinds(made.children)
    told = find(made.status.conditions, ConditionType.RESOLVED_REFS)
    assert told is not None
    assert (told.status, told.reason) == ("False", Reason.SECRET_NOT_FOUND)
    assert "spec.access.apiKeySecretRef.name" in told.message
    assert "`puna key create` makes it" in told.message
    assert made.requeue_after == timedelta(seconds=10)


def test_access_restarts_no_server_and_makes_no_revision() -> None:
    cluster = settled()
    before = cluster.plan().children
    cluster.edit(access=KEYED)
    after = cluster.plan().children
    assert [child["kind"] for child in after or () if child not in (before or ())] == ["ConfigMap"]


def test_a_secret_with_keys_is_looked_for_every_minute() -> None:
    assert settled(access=KEYED).plan(asked=False).requeue_after == timedelta(seconds=60)


def test_a_spec_that_is_refused_still_closes_an_endpoint() -> None:
    cluster = settled()
    pods = dict(cluster.pods)
    cluster.edit(access=KEYED, presetRef={"name": "absent"})
    made = cluster.reconcile()
    assert (kinds(made.children), made.partial) == (["ConfigMap"], True)
    assert document(made.children).access == AccessConfig(secret="team-keys")
    assert document(made.children).revisions == document(tuple(cluster.objects.values())).revisions
    assert pods == cluster.pods
    assert cluster.plan().children is None


def test_a_spec_that_is_refused_opens_no_endpoint() -> None:
    cluster = settled(access=KEYED)
    cluster.edit(access=None, presetRef={"name": "absent"})
    assert cluster.plan().children is None


def test_a_life_is_told_in_events() -> None:
    cluster = FakeCluster(endpoint())
    told: list[EventReason] = []

    def live() -> None:
        for _ in range(8):
            told.extend(event.reason for event in cluster.reconcile().events)
            cluster.run_controllers()
            cluster.remove_ended_pods()
            for name in cluster.pods:
                cluster.set_ready(name)
            cluster.acknowledge("router-1")

    live()
    cluster.edit(model=BETTER)
    live()
    assert told == [
        EventReason.REVISION_CREATED,
        EventReason.BECAME_READY,
        EventReason.REVISION_CREATED,
        EventReason.BECAME_UNREADY,
        EventReason.PROMOTED,
        EventReason.BECAME_READY,
    ]

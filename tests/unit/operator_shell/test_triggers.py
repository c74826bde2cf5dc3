"""Who looks again after a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from puna.cluster.resources import BY_KIND
from puna.core.keyed_queue import Key
from puna.core.plan import Manifest, Ref
from puna.store import Change, Store
from puna.triggers import (
    ANCHOR_SECONDS,
    SETTLE_SECONDS,
    Wake,
    endpoint_key,
    initial_wakes,
    namespace_key,
    wakes,
)
from tests.unit.operator_shell.objects import (
    TEAM,
    anchor,
    backend_key,
    child,
    endpoint,
    live,
    pod,
)

CHAT = endpoint_key(Ref(TEAM, "chat"))
WEB = endpoint_key(Ref(TEAM, "web"))
ROUTER = namespace_key(TEAM)


def store_of(*objects: Manifest) -> Store:
    store = Store(lambda _: None)
    for item in objects:
        store.changed(BY_KIND[item["kind"]], "ADDED", item)
    return store


def woken(before: Manifest | None, after: Manifest | None, *others: Manifest) -> dict[Key, Wake]:
    store = store_of(*others, *([after] if after is not None else []))
    return by_key(wakes(Change(before, after), store))


def by_key(found: Iterable[Wake]) -> dict[Key, Wake]:
    return {wake.key: wake for wake in found}


def with_spec(manifest: Manifest, **spec: Any) -> Manifest:
    return manifest | {"spec": manifest.get("spec", {}) | spec}


def test_a_new_endpoint_is_urgent_and_its_router_too_where_there_is_none() -> None:
    assert woken(None, endpoint()) == {
        CHAT: Wake(CHAT, urgent=True),
        ROUTER: Wake(ROUTER, urgent=True),
    }


def test_many_new_endpoints_make_few_writes_of_the_anchor() -> None:
    assert woken(None, endpoint(), anchor())[ROUTER] == Wake(ROUTER, delay=ANCHOR_SECONDS)


def test_an_endpoint_that_goes_wakes_its_router_alone() -> None:
    assert set(woken(endpoint(), None, anchor())) == {ROUTER}


def test_a_changed_spec_is_urgent_and_a_changed_status_is_not() -> None:
    assert woken(endpoint(), with_spec(endpoint(), replicas=2)) == {CHAT: Wake(CHAT, urgent=True)}
    assert woken(endpoint(), endpoint(ready=True)) == {CHAT: Wake(CHAT, delay=SETTLE_SECONDS)}


def test_a_secret_that_the_router_has_to_read_wakes_the_router_at_once() -> None:
    access = {"apiKeySecretRef": {"name": "team-keys"}}
    urgent = {CHAT: Wake(CHAT, urgent=True), ROUTER: Wake(ROUTER, urgent=True)}
    keyed = with_spec(endpoint(), access=access)
    assert woken(endpoint(), keyed, anchor()) == urgent
    assert woken(keyed, endpoint(), anchor()) == urgent
    faster = with_spec(endpoint(), access={**access, "rateLimit": {"burst": 3}})
    assert woken(keyed, faster, anchor()) == {CHAT: Wake(CHAT, urgent=True)}


def test_an_order_for_a_canary_is_urgent_and_other_annotations_are_not() -> None:
    def annotated(name: str) -> Manifest:
        return endpoint() | {
            "metadata": endpoint()["metadata"] | {"annotations": {name: "8f3a12cd"}}
        }

    urgent = {CHAT: Wake(CHAT, urgent=True)}
    assert woken(endpoint(), annotated("puna.dev/promote")) == urgent
    assert woken(annotated("puna.dev/abort"), endpoint()) == urgent
    assert woken(endpoint(), annotated("example.org/note")) == {
        CHAT: Wake(CHAT, delay=SETTLE_SECONDS)
    }


def test_a_preset_wakes_those_who_name_it() -> None:
    preset = live("Preset", "fast", api_version="puna.dev/v1alpha1")
    assert woken(
        None,
        preset,
        with_spec(endpoint(), presetRef={"name": "fast"}),
        with_spec(endpoint("web"), presets=["fast", "slow"]),
        with_spec(endpoint("other"), presets=["slow"]),
    ) == {CHAT: Wake(CHAT, urgent=True), WEB: Wake(WEB, urgent=True)}


def test_a_deleted_or_changed_child_is_urgent() -> None:
    assert woken(child(), None) == {CHAT: Wake(CHAT, urgent=True)}
    assert woken(child(), with_spec(child(), replicas=9)) == {CHAT: Wake(CHAT, urgent=True)}


def test_what_controllers_write_is_looked_at_when_they_have_settled() -> None:
    after = child() | {"status": {"updatedReplicas": 1}}
    assert woken(child(), after) == {CHAT: Wake(CHAT, delay=SETTLE_SECONDS)}


def test_a_child_that_loses_its_label_wakes_whom_it_belonged_to() -> None:
    bare = live("Deployment", "chat-x")
    assert CHAT in woken(child(), bare)


def test_a_pods_readiness_is_looked_at_at_once_and_its_start_is_not() -> None:
    ready, unready = pod("p", ready=True), pod("p", ready=False)
    assert woken(unready, ready) == {CHAT: Wake(CHAT)}
    assert woken(ready, None) == {CHAT: Wake(CHAT)}
    assert woken(None, unready) == {CHAT: Wake(CHAT, delay=SETTLE_SECONDS)}


def test_a_ready_router_wakes_those_who_are_not_ready() -> None:
    found = woken(
        pod("r", ready=False, router=True),
        pod("r", ready=True, router=True),
        endpoint(ready=False),
        endpoint("web", ready=True),
    )
    assert set(found) == {CHAT, ROUTER}


def test_the_last_router_that_goes_wakes_everybody_a_little_later() -> None:
    before = pod("r", ready=True, router=True)
    everybody = (endpoint(ready=False), endpoint("web", ready=True))
    found = woken(before, None, *everybody)
    assert set(found) == {CHAT, WEB, ROUTER}
    assert found[WEB].delay > 0
    left = pod("s", ready=True, router=True)
    assert set(woken(before, None, *everybody, left)) == {CHAT, ROUTER}


def test_a_new_backend_key_wakes_every_endpoint() -> None:
    found = woken(None, backend_key(), endpoint(), endpoint("web"))
    assert set(found) == {CHAT, WEB, ROUTER}
    touched = backend_key() | {"type": "Opaque"}
    assert set(woken(backend_key(), touched, endpoint())) == {ROUTER}
    assert set(woken(backend_key(), backend_key("bmV3"), endpoint())) == {CHAT, ROUTER}


def test_a_shared_object_wakes_the_router() -> None:
    assert woken(anchor(), None) == {ROUTER: Wake(ROUTER)}


def test_after_a_start_those_without_children_go_first() -> None:
    found = by_key(initial_wakes(store_of(endpoint(), endpoint("web"), child(), anchor())))
    assert found == {CHAT: Wake(CHAT), WEB: Wake(WEB, urgent=True), ROUTER: Wake(ROUTER)}

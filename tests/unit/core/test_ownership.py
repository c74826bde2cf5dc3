"""What is ours of a live object, and whether anything is to be applied."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.core.ownership import differs, is_controlled_by, owned
from puna.core.plan import Manifest
from puna.core.standing import Standing, standing

OWNER = {"apiVersion": "v1", "kind": "Owner", "name": "chat", "uid": "u1", "controller": True}
NAMES = st.text("abcdef", min_size=1, max_size=3)
SCALARS = st.one_of(st.text("xyz", min_size=1, max_size=4), st.integers(1, 9), st.just(value=True))
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, min_size=1, max_size=3),
    lambda below: st.dictionaries(NAMES, below, min_size=1, max_size=3),
    max_leaves=8,
)
CONTENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


def fields_of(value: Any) -> dict[str, Any]:
    """The leaves of a value as `fieldsV1`; lists are one leaf, as where a schema says nothing."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": fields_of(below) for name, below in value.items()}


def manifest(content: Manifest) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "chat", "namespace": "team"},
        "content": content,
    }


def applied(wanted: Manifest, fields: Manifest | None = None) -> Manifest:
    """What the API server holds after an apply."""
    live = deepcopy(wanted)
    live["metadata"]["managedFields"] = [
        {
            "manager": "puna",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsV1": {"f:content": fields_of(wanted["content"])} if fields is None else fields,
        }
    ]
    return live


def leaves(value: Manifest, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        leaf
        for name, below in value.items()
        for leaf in (leaves(below, (*path, name)) if isinstance(below, dict) else [(*path, name)])
    ]


def without(content: Manifest, path: tuple[str, ...]) -> Manifest:
    """The content without a leaf, and without maps that hold nothing else."""
    name, *below = path
    rest = {key: value for key, value in content.items() if key != name}
    if below and (kept := without(content[name], tuple(below))):
        return rest | {name: kept}
    return rest


def with_value(content: Manifest, path: tuple[str, ...], value: Any) -> Manifest:
    changed = deepcopy(content)
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return changed


@given(CONTENTS)
def test_what_was_applied_does_not_differ(content: Manifest) -> None:
    wanted = manifest(content)
    assert not differs(wanted, applied(wanted))


@given(CONTENTS, st.data())
def test_any_other_value_of_any_leaf_differs(content: Manifest, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(leaves(content)))
    wanted = manifest(with_value(content, path, "another"))
    live = applied(manifest(content))
    assert differs(wanted, live)
    assert differs(manifest(content), applied(wanted))


@given(CONTENTS, st.data())
def test_a_leaf_that_is_ours_and_no_longer_wanted_differs(
    content: Manifest, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(leaves(content)))
    assert differs(manifest(without(content, path)), applied(manifest(content)))


@given(CONTENTS, st.data())
def test_a_leaf_that_somebody_else_took_over_differs(
    content: Manifest, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(leaves(content)))
    left = without(content, path)
    fields: Manifest = {"f:content": fields_of(left)} if left else {}
    assert differs(manifest(content), applied(manifest(content), fields))


@given(CONTENTS, NAMES, VALUES)
def test_a_foreign_leaf_does_not_matter(content: Manifest, name: str, value: Any) -> None:
    live = applied(manifest(content))
    live["content"] |= {f"foreign-{name}": value}
    live["status"] = {"replicas": 3}
    live["metadata"] |= {"labels": {"theirs": "yes"}, "resourceVersion": "7"}
    assert not differs(manifest(content), live)


def test_an_object_that_we_never_applied_differs() -> None:
    wanted = manifest({"a": 1})
    live = applied(wanted)
    live["metadata"]["managedFields"][0]["operation"] = "Update"
    assert differs(wanted, live)


def deployment(**container: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "team"},
        "spec": {"containers": [{"name": "server", **container}]},
    }


def live_deployment(owned_fields: Manifest, **container: Any) -> Manifest:
    """A Deployment as the server holds it, with a foreign sidecar before the container of ours."""
    live = deployment()
    live["spec"]["containers"] = [
        {"name": "sidecar", "image": "theirs"},
        {"name": "server", "terminationMessagePath": "/dev/termination-log", **container},
    ]
    key = 'k:{"name":"server"}'
    item = {".": {}, "f:name": {}, **owned_fields}
    live["metadata"]["managedFields"] = [
        {
            "manager": "puna",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsV1": {"f:spec": {"f:containers": {key: item}}},
        }
    ]
    return live


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ("1", "1000m"),
        ("1000m", 1),
        ("1Gi", "1024Mi"),
        ("0.5", "500m"),
        (2, "2"),
    ],
)
def test_amounts_are_compared_as_numbers(wanted: Any, live: Any) -> None:
    fields: Manifest = {"f:resources": {"f:limits": {"f:cpu": {}}}}
    desired = deployment(resources={"limits": {"cpu": wanted}})
    assert not differs(desired, live_deployment(fields, resources={"limits": {"cpu": live}}))


def test_equal_looking_amounts_elsewhere_are_texts() -> None:
    wanted = manifest({"limits": {"cpu": "1"}, "label": "1"})
    assert differs(wanted, applied(manifest({"limits": {"cpu": "1000m"}, "label": "1"})))
    assert differs(wanted, applied(manifest({"limits": {"cpu": "1"}, "label": "1000m"})))


def test_items_are_found_by_their_merge_key_whatever_their_place() -> None:
    live = live_deployment({"f:image": {}}, image="ours:1")
    assert not differs(deployment(image="ours:1"), live)
    assert differs(deployment(image="ours:2"), live)


def test_a_merge_key_that_the_server_completed_is_found() -> None:
    key = 'k:{"containerPort":8080,"protocol":"TCP"}'
    fields: Manifest = {"f:ports": {key: {".": {}, "f:containerPort": {}}}}
    live = live_deployment(fields, ports=[{"containerPort": 8080, "protocol": "TCP"}])
    assert not differs(deployment(ports=[{"containerPort": 8080}]), live)
    assert differs(deployment(ports=[{"containerPort": 8081}]), live)


def test_an_item_that_is_no_longer_wanted_differs() -> None:
    live = live_deployment(
        {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}}}}, env=[{"name": "A"}]
    )
    assert not differs(deployment(env=[{"name": "A"}]), live)
    assert differs(deployment(), live)
    assert differs(deployment(env=[{"name": "A"}, {"name": "B"}]), live)


def test_a_whole_list_keeps_its_order_and_tolerates_what_the_server_adds() -> None:
    fields: Manifest = {"f:sources": {}, "f:args": {}}
    live = live_deployment(
        fields, args=["a", "b"], sources=[{"token": {"path": "t", "expirationSeconds": 3600}}]
    )
    wanted = {"args": ["a", "b"], "sources": [{"token": {"path": "t"}}]}
    assert not differs(deployment(**wanted), live)
    assert differs(deployment(**wanted | {"args": ["b", "a"]}), live)
    assert differs(deployment(**wanted | {"sources": [{"token": {"path": "u"}}]}), live)


def test_empty_values_that_the_server_leaves_out_do_not_differ() -> None:
    live = live_deployment({"f:tty": {}, "f:env": {}})
    assert not differs(deployment(tty=False, env=[]), live)


def test_members_of_a_set_are_compared_without_order() -> None:
    live = applied(manifest({"finalizers": ["a", "b"]}))
    fields: Manifest = {
        "f:content": {"f:finalizers": {f"v:{json.dumps(item)}": {} for item in ("b", "a")}}
    }
    live["metadata"]["managedFields"][0]["fieldsV1"] = fields
    assert not differs(manifest({"finalizers": ["b", "a"]}), live)
    assert differs(manifest({"finalizers": ["b"]}), live)


def test_owners_are_set_once_and_left_alone_where_a_manifest_names_its_own() -> None:
    assert owned(manifest({}), OWNER)["metadata"]["ownerReferences"] == [OWNER]
    named = manifest({})
    named["metadata"]["ownerReferences"] = [{"uid": "many"}]
    assert owned(named, OWNER) == named
    assert owned(manifest({}), None) == manifest({})


def test_an_owner_that_is_no_controller_decides_nothing() -> None:
    child = owned(manifest({}), OWNER)
    assert is_controlled_by(child, "u1")
    assert not is_controlled_by(child, "u2")
    child["metadata"]["ownerReferences"] = [OWNER | {"controller": False}]
    assert not is_controlled_by(child, "u1")


def test_standing_tells_ours_from_orphans_and_strangers() -> None:
    wanted = owned(manifest({"a": 1}), OWNER)
    assert standing(wanted, applied(wanted)) is Standing.OURS
    assert standing(wanted, owned(manifest({}), OWNER | {"uid": "u0"})) is Standing.ORPHANED
    assert (
        standing(wanted, owned(manifest({}), OWNER | {"name": "web", "uid": "u2"}))
        is Standing.FOREIGN
    )
    assert standing(wanted, manifest({})) is Standing.FOREIGN


def test_an_anchor_whose_owners_have_changed_is_ours_if_we_applied_it() -> None:
    wanted = owned(manifest({"a": 1}), {**OWNER, "controller": False})
    before = owned(manifest({"a": 1}), {**OWNER, "controller": False, "uid": "u0"})
    assert standing(wanted, applied(before)) is Standing.OURS
    assert standing(wanted, before) is Standing.FOREIGN

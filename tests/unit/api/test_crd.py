from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hack.generate.fields import fields
from puna.api.crd import KINDS, custom_resource_definitions, to_yaml
from puna.api.schema import resource_schema
from tests.unit.api.field_paths import FIELD_PATHS

Node = dict[str, Any]


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


SPEC_NODES = [
    pytest.param(node, id=path)
    for kind in KINDS
    for path, node in nodes(resource_schema(kind)["properties"]["spec"], kind.kind)
]
ALL_NODES = [
    pytest.param(node, id=path)
    for kind in KINDS
    for path, node in nodes(resource_schema(kind), kind.kind)
]


@pytest.mark.parametrize("node", SPEC_NODES)
def test_everything_that_users_write_is_bounded(node: Node) -> None:
    match node.get("type"):
        case "string":
            assert "enum" in node or "maxLength" in node
        case "array":
            assert "maxItems" in node
        case "integer" | "number":
            assert "minimum" in node
            assert "maximum" in node
        case "object" if "additionalProperties" in node:
            assert "maxProperties" in node


@pytest.mark.parametrize("node", ALL_NODES)
def test_a_schema_is_structural(node: Node) -> None:
    forbidden = {"$ref", "$defs", "title", "const", "members", "listType", "listMapKeys"}
    assert not forbidden & set(node)
    assert "type" in node or node.get("x-kubernetes-int-or-string") is True
    assert not {"properties", "additionalProperties"} <= set(node)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_means(kind: Any) -> None:
    schema = resource_schema(kind)
    silent = [
        field.path
        for part in ("spec", "status")
        if part in schema["properties"]
        for field in fields(schema["properties"][part], part)
        if not field.description
    ]
    assert silent == []


def test_a_status_has_no_defaults_and_no_enums() -> None:
    status = resource_schema(KINDS[0])["properties"]["status"]
    found = [path for path, node in nodes(status, "status") if {"default", "enum"} & set(node)]
    assert found == []


@pytest.mark.parametrize("kind", KINDS)
def test_field_paths_change_deliberately(kind: Any) -> None:
    """A field is a promise: add its path to field_paths.py, its line to the changelog."""
    schema = resource_schema(kind)
    found = {
        field.path
        for part in ("spec", "status")
        if part in schema["properties"]
        for field in fields(schema["properties"][part], part)
    }
    assert found == FIELD_PATHS[kind.kind]


def test_equal_models_give_equal_bytes() -> None:
    once = [to_yaml(crd) for crd in custom_resource_definitions()]
    assert once == [to_yaml(crd) for crd in custom_resource_definitions()]


def test_an_endpoint_can_be_scaled_and_a_preset_has_no_status() -> None:
    endpoint, _, preset = (crd["spec"]["versions"][0] for crd in custom_resource_definitions())
    assert endpoint["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"
    assert preset["subresources"] == {}

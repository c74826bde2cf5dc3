from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from puna.api.resource import Model, Quantity, Rule
from puna.api.schema import (
    boolean_exclusive_bounds,
    collapse_optional,
    const_to_enum,
    describe_members,
    drop_additional_properties,
    drop_defaults,
    drop_title,
    inline_references,
    integer_or_string,
    list_types,
    open_enums,
    structural_schema,
    telling_defaults,
    validation,
)


def test_references_are_inlined_and_members_beside_them_win() -> None:
    before: dict[str, Any] = {
        "properties": {"a": {"$ref": "#/$defs/A", "description": "field"}},
        "$defs": {
            "A": {"description": "type", "items": {"$ref": "#/$defs/B"}},
            "B": {"type": "string"},
        },
    }
    after = {"properties": {"a": {"description": "field", "items": {"type": "string"}}}}
    assert inline_references(before, before["$defs"]) == after


@pytest.mark.parametrize(
    ("rewrite", "before", "after"),
    [
        (
            collapse_optional,
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
            {"type": "integer", "minimum": 1, "default": None},
        ),
        (
            collapse_optional,
            {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        (const_to_enum, {"const": "a", "type": "string"}, {"enum": ["a"], "type": "string"}),
        (
            boolean_exclusive_bounds,
            {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True},
        ),
        (
            drop_additional_properties,
            {"properties": {}, "additionalProperties": False},
            {"properties": {}},
        ),
        (
            drop_additional_properties,
            {"additionalProperties": {"type": "string"}},
            {"additionalProperties": {"type": "string"}},
        ),
        (drop_title, {"title": "Top K", "type": "integer"}, {"type": "integer"}),
        (list_types, {"type": "array"}, {"type": "array", "x-kubernetes-list-type": "atomic"}),
        (
            list_types,
            {"type": "array", "listType": "set"},
            {"type": "array", "x-kubernetes-list-type": "set"},
        ),
        (
            list_types,
            {"type": "array", "listMapKeys": ["name"]},
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
        (
            integer_or_string,
            {"type": "string", "x-kubernetes-int-or-string": True},
            {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
            },
        ),
        (telling_defaults, {"default": None}, {}),
        (telling_defaults, {"default": []}, {}),
        (telling_defaults, {"default": ""}, {}),
        (telling_defaults, {"default": 0}, {"default": 0}),
        (telling_defaults, {"default": False}, {"default": False}),
        (
            telling_defaults,
            {"default": {"a": "x", "b": None, "c": [], "d": {"e": None}}},
            {"default": {"a": "x"}},
        ),
        (telling_defaults, {"default": {"b": None, "d": {"e": None}}}, {}),
        (
            describe_members,
            {"description": "How.", "members": [["B", "Second."], ["A", "First."]]},
            {"description": "How. `B`: Second. `A`: First."},
        ),
        (drop_defaults, {"default": 1, "type": "integer"}, {"type": "integer"}),
        (
            open_enums,
            {"enum": ["A"], "type": "string"},
            {"type": "string", "maxLength": 64},
        ),
    ],
)
def test_rewrite(rewrite: Any, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert rewrite(before) == after


def test_an_empty_member_of_a_default_stays_where_its_own_default_would_fill_it() -> None:
    node = {
        "default": {"stop": "", "start": ""},
        "properties": {"stop": {"type": "string", "default": "END"}, "start": {"type": "string"}},
    }
    assert telling_defaults(node)["default"] == {"stop": ""}


def test_a_rule_carries_its_path_and_reason_only_if_it_has_them() -> None:
    assert validation(Rule("true", "never")) == {"rule": "true", "message": "never"}
    assert validation(Rule("true", "never", ".a", "FieldValueRequired")) == {
        "rule": "true",
        "message": "never",
        "fieldPath": ".a",
        "reason": "FieldValueRequired",
    }


class Shade(StrEnum):
    """Shade of grey."""

    DARK = "dark"
    """Nearly black."""
    LIGHT = "light"


class Inner(Model):
    """Inner."""

    size: Annotated[float, Field(gt=0, lt=9)] = 1.5
    """Size."""
    kind: Literal["only"] = "only"
    """Kind."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (Rule("self.size > 1.0", "size: too small", ".size"),)


class Outer(Model):
    """Outer."""

    shade: Shade
    """Shade."""
    amounts: dict[str, Quantity] = Field(default_factory=dict, max_length=4)
    """Amounts."""
    inner: Inner = Inner(size=2.5)
    """Inner one."""
    many: Annotated[tuple[Inner, ...], Field(max_length=3)] = ()
    """More of them."""


def test_a_whole_model_becomes_structural() -> None:
    inner = {
        "type": "object",
        "properties": {
            "size": {
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 9,
                "exclusiveMaximum": True,
                "default": 1.5,
                "description": "Size.",
            },
            "kind": {"type": "string", "enum": ["only"], "default": "only", "description": "Kind."},
        },
        "x-kubernetes-validations": [
            {"rule": "self.size > 1.0", "message": "size: too small", "fieldPath": ".size"}
        ],
    }
    assert structural_schema(Outer) == {
        "type": "object",
        "description": "Outer.",
        "required": ["shade"],
        "properties": {
            "shade": {
                "type": "string",
                "enum": ["dark", "light"],
                "description": "Shade. `dark`: Nearly black.",
            },
            "amounts": {
                "type": "object",
                "maxProperties": 4,
                "description": "Amounts.",
                "additionalProperties": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "maxLength": 32,
                    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
                },
            },
            "inner": inner
            | {"default": {"size": 2.5, "kind": "only"}, "description": "Inner one."},
            "many": {
                "type": "array",
                "maxItems": 3,
                "x-kubernetes-list-type": "atomic",
                "description": "More of them.",
                "items": inner | {"description": "Inner."},
            },
        },
    }

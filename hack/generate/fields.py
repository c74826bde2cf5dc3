"""Fields of a structural schema, flattened into rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from puna.api.schema import INT_OR_STRING, VALIDATIONS


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource."""

    path: str
    type: str
    required: bool
    default: str
    bounds: str
    description: str


def fields(node: dict[str, Any], path: str) -> Iterator[Field]:
    """Return the fields below a schema, parents first."""
    for name, child in node.get("properties", {}).items():
        at = f"{path}.{name}"
        yield Field(
            path=at,
            type=type_of(child),
            required=name in node.get("required", []),
            default=json.dumps(child["default"]) if "default" in child else "",
            bounds=bounds_of(child),
            description=child.get("description", ""),
        )
        inner, suffix = child, ""
        if child.get("type") == "array":
            inner, suffix = child["items"], "[]"
        yield from fields(inner, at + suffix)


def rules(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Return path and message of the CEL rules of a schema and of everything below it."""
    for rule in node.get(VALIDATIONS, []):
        yield (path + rule.get("fieldPath", "")).removeprefix("."), rule["message"]
    for name, child in node.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}")
    if "items" in node:
        yield from rules(node["items"], f"{path}[]")


def type_of(node: dict[str, Any]) -> str:
    """Return a type in words that users know."""
    if node.get(INT_OR_STRING):
        return "quantity"
    if node.get("type") == "array":
        return f"list of {type_of(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"map of {type_of(node['additionalProperties'])}"
    return str(node["format"] if "format" in node else node["type"])


def bounds_of(node: dict[str, Any]) -> str:
    """Return what a value must keep to."""
    said = []
    if "enum" in node:
        said.append(" ".join(f"`{value}`" for value in node["enum"]))
    if "minimum" in node or "maximum" in node:
        said.append(f"{node.get('minimum', '')} to {node.get('maximum', '')}".strip())
    for key, words in (
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {} items"),
        ("maxProperties", "at most {} entries"),
        ("pattern", "`{}`"),
    ):
        if key in node:
            said.append(words.format(node[key]))
    return "; ".join(said)

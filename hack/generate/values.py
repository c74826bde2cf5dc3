"""The chart's values: their comments are the documentation, and `# @schema` lines the schema.

A comment stands directly above its value. A line `# @schema {...}` in it is merged into the
value's JSON Schema; an empty map or list needs one, since it does not say what may be in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

SCHEMA: Final = "@schema "
_TYPES: Final = {
    "tag:yaml.org,2002:str": "string",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart."""

    path: str
    description: str
    default: Any
    schema: dict[str, Any]
    members: tuple[Value, ...] = field(default=())

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]

    def leaves(self) -> Iterator[Value]:
        """Return the values below that users set, or this one."""
        if not self.members:
            yield self
        for member in self.members:
            yield from member.leaves()


def read_values(text: str) -> tuple[Value, ...]:
    """Return the values of a values.yaml.

    Raises:
        ValueError: a value has no comment, or an empty one no schema; names it.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml: not a map")  # noqa: TRY004
    return _members(root, "", text.splitlines())


def _members(node: yaml.MappingNode, prefix: str, lines: list[str]) -> tuple[Value, ...]:
    return tuple(_value(key, value, prefix, lines) for key, value in node.value)


def _value(key: yaml.ScalarNode, node: yaml.Node, prefix: str, lines: list[str]) -> Value:
    path = f"{prefix}{key.value}"
    words, schema = _comment(key.start_mark.line, lines)
    section = isinstance(node, yaml.MappingNode) and node.value
    if not words and not section:
        raise ValueError(f"values.yaml: {path} has no comment")
    members: tuple[Value, ...] = ()
    if isinstance(node, yaml.MappingNode) and section:
        members = _members(node, f"{path}.", lines)
        own = object_schema(members)
    elif isinstance(node, yaml.ScalarNode):
        own = {"type": _TYPES[node.tag]}
    elif schema:
        own = {"type": "object" if isinstance(node, yaml.MappingNode) else "array"}
    else:
        raise ValueError(f"values.yaml: {path} is empty: say what may be in it with # {SCHEMA}")
    default = yaml.safe_load(yaml.serialize(node))
    described = {"description": words} if words else {}
    return Value(path, words, default, own | described | schema, members)


def object_schema(members: tuple[Value, ...]) -> dict[str, Any]:
    """Return the schema of a map with just these members."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {member.name: member.schema for member in members},
    }


def _comment(line: int, lines: list[str]) -> tuple[str, dict[str, Any]]:
    above: list[str] = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().removeprefix("#").strip())
    words = [text for text in above if not text.startswith(SCHEMA)]
    schema: dict[str, Any] = {}
    for text in above:
        if text.startswith(SCHEMA):
            schema |= json.loads(text.removeprefix(SCHEMA))
    return " ".join(words), schema

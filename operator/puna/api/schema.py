"""JSON Schema of pydantic -> structural schema of Kubernetes, one named rewrite per rule.

Every rewrite takes one node, whose children are rewritten already, and returns its replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from puna.api.docstrings import member_docstrings
from puna.api.resource import Model, Resource, Rule

Node: TypeAlias = dict[str, Any]
Rewrite: TypeAlias = Callable[[Node], Node]

VALIDATIONS: Final = "x-kubernetes-validations"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_MAP_KEYS: Final = "x-kubernetes-list-map-keys"
MEMBERS: Final = "members"
"""Pairs of an enum's value and its docstring, until `describe_members` has spent them."""
MAX_DESCRIBED: Final = 8
"""Members up to which an enum is described where it is used; longer ones have their own table."""
MAX_NAME: Final = 253
"""Longest name of an object, which bounds the cost of rules on `metadata.name`."""


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, which also hands on CEL rules and the docstrings of members.

    Pydantic could read those of fields itself, but would do so at every start of every program.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        node = super().model_schema(schema)
        model = schema["cls"]
        for name, text in _field_docstrings(model).items():
            node["properties"][model.model_fields[name].alias or name]["description"] = text
        if issubclass(model, Model) and model.cel_rules:
            node[VALIDATIONS] = [validation(rule) for rule in model.cel_rules]
        return node

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        node = super().enum_schema(schema)
        members = _members(schema["cls"])
        return node | {MEMBERS: members} if 0 < len(members) <= MAX_DESCRIBED else node


def resource_schema(resource: type[Resource]) -> Node:
    """Return the structural schema of a whole resource, as it stands in a CRD."""
    document = resource.model_json_schema(schema_generator=_Generator)
    properties: Node = {
        "apiVersion": {"type": "string", "description": "Version of this schema."},
        "kind": {"type": "string", "description": "Kind of the resource."},
        "metadata": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": MAX_NAME}},
        },
    }
    root = structural_root(document)
    properties["spec"] = root["properties"]["spec"]
    if "status" in root["properties"]:
        properties["status"] = status_schema(root["properties"]["status"])
    return {
        "type": "object",
        "description": root["description"],
        "properties": properties,
        **({"required": ["spec"]} if "default" not in properties["spec"] else {}),
        **({VALIDATIONS: root[VALIDATIONS]} if VALIDATIONS in root else {}),
    }


def structural_schema(model: type[BaseModel]) -> Node:
    """Return the structural schema of one model."""
    return structural_root(model.model_json_schema(schema_generator=_Generator))


def structural_root(document: Mapping[str, Any]) -> Node:
    """Return a document with its references inlined and every rewrite applied to every node."""
    return walk(inline_references(dict(document), document.get("$defs", {})), REWRITES)


def status_schema(node: Node) -> Node:
    """Return the schema of a status, which the operator alone writes, and always as a whole."""
    return walk(node, (drop_defaults, open_enums))


def walk(node: Node, rewrites: tuple[Rewrite, ...]) -> Node:
    """Apply rewrites to every schema of a tree, children first."""
    node = dict(node)
    if "properties" in node:
        node["properties"] = {
            name: walk(child, rewrites) for name, child in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = walk(node[key], rewrites)
    if "anyOf" in node:
        node["anyOf"] = [walk(child, rewrites) for child in node["anyOf"]]
    for rewrite in rewrites:
        node = rewrite(node)
    return node


def inline_references(value: Any, definitions: Mapping[str, Any]) -> Any:
    """Put definitions in the place of `$ref`; members beside it win. CRDs know no `$ref`."""
    if isinstance(value, list):
        return [inline_references(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    node = {
        key: inline_references(item, definitions)
        for key, item in value.items()
        if key not in ("$ref", "$defs")
    }
    if "$ref" not in value:
        return node
    name = value["$ref"].removeprefix("#/$defs/")
    return inline_references(definitions[name], definitions) | node


def collapse_optional(node: Node) -> Node:
    """Replace `anyOf: [T, null]` by T: an optional field is absent, never null."""
    if "anyOf" not in node:
        return node
    kept = [child for child in node["anyOf"] if child != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return kept[0] | rest if len(kept) == 1 else rest | {"anyOf": kept}


def const_to_enum(node: Node) -> Node:
    """Replace `const` by an enum with one value."""
    if "const" not in node:
        return node
    return {key: value for key, value in node.items() if key != "const"} | {"enum": [node["const"]]}


def boolean_exclusive_bounds(node: Node) -> Node:
    """Split a numeric exclusive bound into the bound and its boolean form (OpenAPI 3.0)."""
    node = dict(node)
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node and not isinstance(node[exclusive], bool):
            node[bound] = node[exclusive]
            node[exclusive] = True
    return node


def drop_additional_properties(node: Node) -> Node:
    """Drop `additionalProperties` beside `properties`: the two exclude each other."""
    return _without(node, "additionalProperties") if "properties" in node else node


def drop_title(node: Node) -> Node:
    """Drop `title`, which repeats the field's name."""
    return _without(node, "title")


def list_types(node: Node) -> Node:
    """Say how server-side apply merges a list: a map by keys, a set, or as one value."""
    if node.get("type") != "array":
        return node
    keys = node.get("listMapKeys")
    kind = "map" if keys else node.get("listType", "atomic")
    return (
        _without(node, "listMapKeys", "listType")
        | {LIST_TYPE: kind}
        | ({LIST_MAP_KEYS: keys} if keys else {})
    )


def integer_or_string(node: Node) -> Node:
    """Let a quantity be written as a bare number too."""
    if not node.get(INT_OR_STRING):
        return node
    return _without(node, "type") | {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def telling_defaults(node: Node) -> Node:
    """Drop defaults that say no more than absence does: null, and empty values.

    Of an object's default the telling members are kept: the server adds a missing object as it
    stands here and then its members' own defaults, which gives what pydantic gives.
    """
    if "default" not in node:
        return node
    default = _telling(node["default"], node)
    return _without(node, "default") | ({} if default in _SILENT else {"default": default})


def describe_members(node: Node) -> Node:
    """Append the docstrings of an enum's members to the description."""
    if MEMBERS not in node:
        return node
    members = " ".join(f"`{value}`: {text}" for value, text in node[MEMBERS])
    description = f"{node.get('description', '')} {members}".strip()
    return _without(node, MEMBERS) | {"description": description}


def drop_defaults(node: Node) -> Node:
    """Drop the default: a status is written as a whole."""
    return _without(node, "default")


def open_enums(node: Node) -> Node:
    """Bound an enum by its length alone: an operator newer than the CRD has to report too."""
    if "enum" not in node:
        return node
    return _without(node, "enum") | {"maxLength": 64}


def validation(rule: Rule) -> Node:
    """Return a CEL rule in API spelling."""
    optional = {"fieldPath": rule.field_path, "reason": rule.reason}
    return {"rule": rule.rule, "message": rule.message} | {
        key: value for key, value in optional.items() if value is not None
    }


REWRITES: Final[tuple[Rewrite, ...]] = (
    collapse_optional,
    const_to_enum,
    boolean_exclusive_bounds,
    drop_additional_properties,
    drop_title,
    list_types,
    integer_or_string,
    telling_defaults,
    describe_members,
)

_SILENT: Final[tuple[Any, ...]] = (None, "", [], {})


def _telling(default: Any, node: Node) -> Any:
    """Return a default without silent members, unless their own default would fill them."""
    if not isinstance(default, dict):
        return default
    properties = node.get("properties", {})
    members = {
        name: _telling(value, properties.get(name, {}))
        for name, value in default.items()
        if value is not None
    }
    return {
        name: value
        for name, value in members.items()
        if value not in _SILENT or "default" in properties.get(name, {})
    }


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings of a model's fields, inherited ones too."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= member_docstrings(cls)
    return {name: text for name, text in found.items() if name in model.model_fields}


def _members(cls: type[Enum]) -> list[list[str]]:
    texts = member_docstrings(cls)
    return [[str(member.value), texts[member.name]] for member in cls if member.name in texts]


def _without(node: Node, *keys: str) -> Node:
    return {key: value for key, value in node.items() if key not in keys}

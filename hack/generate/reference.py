"""Pages about the custom resources and their conditions."""

from __future__ import annotations

from enum import StrEnum

from hack.generate.fields import fields, rules
from hack.generate.markdown import NOTE, code, table
from puna.api import API_VERSION
from puna.api.docstrings import member_docstrings
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.api.resource import Resource
from puna.api.schema import resource_schema


def resource_page(resource: type[Resource]) -> str:
    """Return the page of one kind: names, columns, fields and rules."""
    schema = resource_schema(resource)
    names = ", ".join(code(name) for name in (resource.plural, *resource.short_names))
    parts = [
        f"{NOTE}\n# {resource.kind}\n\n{schema['description']}\n",
        f"`apiVersion: {API_VERSION}`; in kubectl {names}; `kubectl get puna` lists all kinds.\n",
        "## Columns of `kubectl get`\n\n"
        + table(
            ("column", "from", "shown"),
            [
                (column.name, code(column.json_path), "always" if not column.priority else "wide")
                for column in resource.columns
            ],
        ),
    ]
    parts += [
        f"## {part}\n\n" + _field_table(schema["properties"][part], part)
        for part in ("spec", "status")
        if part in schema["properties"]
    ]
    parts.append(
        "## What the API server refuses\n\nBeside types and bounds:\n\n"
        + table(("field", "message"), [(code(path), message) for path, message in rules(schema)])
    )
    return "\n".join(parts)


def conditions_page() -> str:
    """Return the page of condition types, reasons and events."""
    return "\n".join(
        [
            f"{NOTE}\n# Conditions and events\n",
            "Types and reasons are a stable interface for programs; messages are not.\n",
            "## Condition types\n\n" + _member_table(ConditionType, "type"),
            "## Reasons of conditions\n\n" + _member_table(Reason, "reason"),
            "## Reasons of Events\n\n" + _member_table(EventReason, "reason"),
        ]
    )


def _field_table(node: dict[str, object], part: str) -> str:
    return table(
        ("field", "type", "default", "bounds", "meaning"),
        [
            (
                code(field.path) + (" (required)" if field.required else ""),
                field.type,
                code(field.default),
                field.bounds,
                field.description,
            )
            for field in fields(node, part)
        ],
    )


def _member_table(enum: type[StrEnum], head: str) -> str:
    texts = member_docstrings(enum)
    return table((head, "meaning"), [(code(member.value), texts[member.name]) for member in enum])

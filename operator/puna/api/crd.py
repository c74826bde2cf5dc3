"""CustomResourceDefinitions of all kinds, assembled from the models."""

from __future__ import annotations

from typing import Any, Final

import yaml

from puna.api import GROUP, VERSION
from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.resource import Column, Resource
from puna.api.schema import resource_schema
from puna.api.trainingjob import TrainingJob

KINDS: Final[tuple[type[Resource], ...]] = (LLMEndpoint, TrainingJob, Preset)
"""Every custom resource, in the order of the docs."""


def custom_resource_definitions() -> list[dict[str, Any]]:
    """Return the CRDs of all kinds."""
    return [custom_resource_definition(kind) for kind in KINDS]


def custom_resource_definition(resource: type[Resource]) -> dict[str, Any]:
    """Return the CRD of one kind."""
    schema = resource_schema(resource)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["puna"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": _subresources(resource, schema),
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                }
            ],
        },
    }


def to_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML; equal documents give equal bytes."""
    return yaml.safe_dump(document, sort_keys=True, width=100, allow_unicode=True)


def _subresources(resource: type[Resource], schema: dict[str, Any]) -> dict[str, Any]:
    subresources: dict[str, Any] = {}
    if "status" in schema["properties"]:
        subresources["status"] = {}
    if resource.scale is not None:
        wanted, observed, selector = resource.scale
        subresources["scale"] = {
            "specReplicasPath": wanted,
            "statusReplicasPath": observed,
            "labelSelectorPath": selector,
        }
    return subresources


def _column(column: Column) -> dict[str, Any]:
    optional = {"priority": column.priority or None, "description": column.description}
    return {"name": column.name, "type": column.type, "jsonPath": column.json_path} | {
        key: value for key, value in optional.items() if value is not None
    }

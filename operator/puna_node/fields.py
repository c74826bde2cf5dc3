"""The downward API: fields of a Pod and resources of its containers as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from puna_node.manifest import Manifest, all_containers
from puna_node.quantities import divide_up, parse_quantity

_SUBSCRIPT: Final = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class UnknownFieldError(ValueError):
    """A field or resource that the downward API does not have."""


@dataclass(frozen=True, slots=True)
class Downward:
    """What the downward API may tell a container."""

    pod: Manifest
    address: str
    node_address: str
    allocatable: Mapping[str, str]
    """Of this node: the limit of a container that has none."""


def field_value(path: str, downward: Downward) -> str:
    """Value of a `fieldRef`.

    Raises:
        UnknownFieldError: no such field.
    """
    metadata, spec = downward.pod["metadata"], downward.pod["spec"]
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.removeprefix("metadata.")])
        case "metadata.labels" | "metadata.annotations":
            entries = metadata.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(entries.items()))
        case "spec.nodeName":
            return str(spec.get("nodeName", ""))
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName", "default"))
        case "status.podIP" | "status.podIPs":
            return downward.address
        case "status.hostIP" | "status.hostIPs":
            return downward.node_address
    raise UnknownFieldError(f"fieldPath {path} is not supported")


def resource_value(reference: Manifest, downward: Downward, default_container: str) -> str:
    """Value of a `resourceFieldRef`, such as `limits.memory` with divisor `1Mi`.

    Raises:
        UnknownFieldError: no such container or resource.
    """
    name = reference.get("containerName") or default_container
    container = next((c for c in all_containers(downward.pod) if c["name"] == name), None)
    if container is None:
        raise UnknownFieldError(f"resourceFieldRef: no container {name}")
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in {"limits", "requests"} or not resource:
        raise UnknownFieldError(f"resourceFieldRef: resource {reference['resource']}")
    resources = container.get("resources") or {}
    quantity = (resources.get(kind) or {}).get(resource)
    if quantity is None and kind == "limits":
        quantity = downward.allocatable.get(resource)
    divisor = parse_quantity(reference.get("divisor") or "1")
    value = parse_quantity(quantity) if quantity is not None else Decimal(0)
    return str(divide_up(value, divisor or Decimal(1)))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""Hosts of one cluster as a message: the members of `ClusterLoadAssignment` that are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from puna_router.control.world import Resource
from puna_router.picker.protobuf import content, number

TYPE: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def encoded(assignment: Resource) -> bytes:
    """A resource in protobuf's JSON as bytes; equal resources give equal bytes."""
    message = _text(1, assignment["cluster_name"])
    for locality in assignment["endpoints"]:
        message += content(2, _locality(locality))
    if "policy" in assignment:
        factor = content(3, number(1, assignment["policy"]["overprovisioning_factor"]))
        message += content(4, factor)
    return message


def _locality(locality: Resource) -> bytes:
    message = b"".join(content(2, _lb_endpoint(found)) for found in locality["lb_endpoints"])
    priority = locality["priority"]
    return message + (number(5, priority) if priority else b"")


def _lb_endpoint(found: Resource) -> bytes:
    message = content(1, _endpoint(found["endpoint"]))
    if "metadata" in found:
        message += content(3, _metadata(found["metadata"]["filter_metadata"]))
    return message + content(4, number(1, found["load_balancing_weight"]))


def _endpoint(endpoint: Resource) -> bytes:
    where = endpoint["address"]["socket_address"]
    address = _text(2, where["address"]) + number(3, where["port_value"])
    message = content(1, content(1, address))
    if "hostname" in endpoint:
        check = _text(2, endpoint["health_check_config"]["hostname"])
        message += content(2, check) + _text(3, endpoint["hostname"])
    return message


def _metadata(namespaces: Mapping[str, Mapping[str, str]]) -> bytes:
    """Entries of a map from namespaces to structs of texts."""
    return b"".join(
        content(1, _text(1, name) + content(2, _struct(values)))
        for name, values in sorted(namespaces.items())
    )


def _struct(values: Mapping[str, str]) -> bytes:
    return b"".join(
        content(1, _text(1, name) + content(2, _text(3, text)))
        for name, text in sorted(values.items())
    )


def _text(field: int, text: str) -> bytes:
    return content(field, text.encode())

"""Hosts as messages: what protobuf makes of the same, and what one call is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.json_format import ParseDict

from puna_router.control.clusters import load_assignment
from puna_router.control.hosts.assignment import TYPE, encoded
from puna_router.control.hosts.discovery import Hosts, Subscription, read
from puna_router.control.world import Host
from puna_router.picker.protobuf import MalformedError

GOLDEN = Path(__file__).parents[2] / "golden" / "router"
ASSIGNMENTS = [
    assignment
    for path in sorted(GOLDEN.glob("*/hosts.json"))
    for assignment in json.loads(path.read_text()).values()
]


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda found: found["cluster_name"])
def test_hosts_are_encoded_as_protobuf_does_it(assignment: dict[str, Any]) -> None:
    plain = {key: value for key, value in assignment.items() if key != "@type"}
    expected = ParseDict(plain, ClusterLoadAssignment())
    assert ClusterLoadAssignment.FromString(encoded(assignment)) == expected


def test_equal_hosts_are_equal_bytes() -> None:
    pair = [Host("10.0.0.1", 80, 4, name="a", pool="p"), Host("10.0.0.2", 80, 4)]
    assert encoded(load_assignment("c", pair)) == encoded(load_assignment("c", list(pair)))


def request(**members: Any) -> bytes:
    found: bytes = DeltaDiscoveryRequest(type_url=TYPE, **members).SerializeToString()
    return found


def answer(message: bytes | None) -> tuple[str, dict[str, str]]:
    """Nonce, and versions by name."""
    assert message is not None
    found = DeltaDiscoveryResponse.FromString(message)
    assert found.type_url == TYPE
    for resource in found.resources:
        assert resource.resource.type_url == TYPE
        hosts = ClusterLoadAssignment.FromString(resource.resource.value)
        assert hosts.cluster_name == resource.name
    return found.nonce, {resource.name: resource.version for resource in found.resources}


def hosts(**versions: str) -> dict[str, Hosts]:
    return {
        name: Hosts(version, encoded(load_assignment(name, ())))
        for name, version in versions.items()
    }


def test_what_is_wanted_comes_once_and_again_when_it_changes() -> None:
    call = Subscription()
    call.take(read(request(resource_names_subscribe=["a", "b", "later"])))
    nonce, told = answer(call.news(hosts(a="1", b="1", unwanted="1")))
    assert told == {"a": "1", "b": "1"}
    assert call.news(hosts(a="1", b="1")) is None
    assert not call.has("a", "1")
    call.take(read(request(response_nonce=nonce)))
    assert call.has("a", "1")
    _, told = answer(call.news(hosts(a="2", b="1", later="1")))
    assert told == {"a": "2", "later": "1"}
    assert call.has("b", "1")
    assert not call.has("a", "2")


def test_what_is_wanted_no_more_is_forgotten() -> None:
    call = Subscription()
    call.take(read(request(resource_names_subscribe=["a"])))
    nonce, _ = answer(call.news(hosts(a="1")))
    call.take(read(request(response_nonce=nonce, resource_names_unsubscribe=["a"])))
    assert not call.has("a", "1")
    assert call.news(hosts(a="2")) is None


def test_an_envoy_that_comes_back_is_told_only_what_it_has_not() -> None:
    call = Subscription()
    known = {"a": "1", "b": "1"}
    call.take(read(request(resource_names_subscribe=["a", "b"], initial_resource_versions=known)))
    assert call.news({}) is None
    assert call.has("a", "1")
    _, told = answer(call.news(hosts(a="1", b="2")))
    assert told == {"b": "2"}


def test_a_refusal_is_told_and_counts_as_not_taken() -> None:
    call = Subscription()
    call.take(read(request(resource_names_subscribe=["a"])))
    nonce, _ = answer(call.news(hosts(a="1")))
    refusal = {"code": 13, "message": "malformed address"}
    said = call.take(read(request(response_nonce=nonce, error_detail=refusal)))
    assert said == "malformed address"
    assert not call.has("a", "1")
    # It is not offered again unchanged.
    assert call.news(hosts(a="1")) is None


def test_other_kinds_of_resources_are_nobodys() -> None:
    call = Subscription()
    other = DeltaDiscoveryRequest(type_url="other", resource_names_subscribe=["a"])
    call.take(read(other.SerializeToString()))
    assert call.news(hosts(a="1")) is None
    with pytest.raises(MalformedError):
        read(b"\x0a\xff")

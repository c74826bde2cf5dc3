from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_node.addresses import (
    NoFreeRangeError,
    bind_problem,
    candidate_ranges,
    next_address,
    reserve_range,
)
from puna_node.pod_addresses import NoAddressError, PodAddresses

NETWORK = ipaddress.IPv4Network("127.77.250.0/30")


def test_a_large_network_is_taken_in_parts() -> None:
    assert len(list(candidate_ranges("127.77.0.0/16"))) == 256
    assert [str(r) for r in candidate_ranges("127.77.3.0/24")] == ["127.77.3.0/24"]


def test_a_range_has_one_owner(tmp_path: Path) -> None:
    first = reserve_range("127.77.250.0/29", tmp_path / "a")
    with pytest.raises(NoFreeRangeError):
        reserve_range("127.77.250.0/29", tmp_path / "b")
    # Its own owner finds it again: processes of its Pods may hold the lock.
    again = reserve_range("127.77.250.0/29", tmp_path / "a")
    assert again.network == first.network
    for taken in (first, again):
        os.close(taken.lock)


def test_addresses_are_given_round_robin() -> None:
    addresses = PodAddresses("10.0.0.1", NETWORK)
    first = addresses.take("a", host_network=False)
    second = addresses.take("b", host_network=False)
    assert {first, second} == {"127.77.250.1", "127.77.250.2"}
    with pytest.raises(NoAddressError):
        addresses.take("c", host_network=False)
    addresses.free("a")
    assert addresses.take("c", host_network=False) == first
    assert addresses.take("d", host_network=True) == "10.0.0.1"


@given(st.sets(st.sampled_from([str(h) for h in NETWORK.hosts()])), st.none() | st.text())
def test_an_address_in_use_is_never_given(used: set[str], last: str | None) -> None:
    address = next_address(NETWORK, used, last)
    assert address not in used
    assert (address is None) is (len(used) == 2)


def test_a_taken_port_is_noticed() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        port = holder.getsockname()[1]
        problem = bind_problem("127.0.0.1", port)
        assert problem is not None
        assert problem.strerror == "Address already in use"
    assert bind_problem("127.0.0.1", port) is None

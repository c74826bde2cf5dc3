from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker.rendezvous import seed, weight

SERVERS = {f"10.0.0.{number}:8080": 4 for number in range(5)}
PREFIXES = [f"prefix {number}".encode() for number in range(2000)]


def owner(prefix: bytes, servers: dict[str, int]) -> str:
    found = seed(prefix)
    return max(servers, key=lambda address: weight(found, seed(address.encode()), servers[address]))


def test_a_prefix_has_the_same_owner_in_every_process() -> None:
    assert seed(b"prefix") == 0x82B93A7C4D34DBB0
    assert [owner(prefix, SERVERS)[7] for prefix in PREFIXES[:8]] == [*"00004032"]


def test_servers_own_prefixes_in_proportion_to_their_slots() -> None:
    servers = {"a": 1, "b": 1, "c": 2}
    owned = Counter(owner(prefix, servers) for prefix in PREFIXES)
    assert abs(owned["c"] - 1000) < 100
    assert abs(owned["a"] - owned["b"]) < 100


def test_a_server_that_leaves_moves_its_own_prefixes_alone() -> None:
    gone, *rest = SERVERS
    fewer = {address: SERVERS[address] for address in rest}
    for prefix in PREFIXES:
        before = owner(prefix, SERVERS)
        assert before in (gone, owner(prefix, fewer))


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.integers(1, 1024))
def test_a_weight_is_a_number_above_zero(prefix: int, server: int, slots: int) -> None:
    assert 0 < weight(prefix, server, slots) < float("inf")

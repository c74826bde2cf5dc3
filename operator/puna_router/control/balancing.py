"""How Envoy balances by itself: without a picker, and for another attempt."""

from __future__ import annotations

from typing import Final

from puna_router.config import Strategy
from puna_router.control.world import Resource

AFFINITY_HEADER: Final = "x-puna-affinity"
"""Hash of the beginning that all turns of a conversation share; `lua/select.lua` sets it."""
RING_SIZE: Final = 256
"""Points on the ring, of all servers together."""

_POLICIES: Final = "envoy.load_balancing_policies"
_TYPES: Final = "type.googleapis.com/envoy.extensions.load_balancing_policies"


def balancing(strategy: Strategy) -> Resource:
    """Load balancing policy of a cluster."""
    name, kind, settings = {
        Strategy.PREFIX_AFFINITY: ("ring_hash", "RingHash", _ring()),
        # The less busy of two drawn at random. Not the least busy of all: a server that fails at
        # once is always that, so another attempt would find it again, however often it asks for
        # one that has not been tried.
        Strategy.LEAST_BUSY: ("least_request", "LeastRequest", {"choice_count": 2}),
        Strategy.ROUND_ROBIN: ("round_robin", "RoundRobin", {}),
    }[strategy]
    return {
        "typed_extension_config": {
            "name": f"{_POLICIES}.{name}",
            "typed_config": {"@type": f"{_TYPES}.{name}.v3.{kind}", **settings},
        }
    }


def _ring() -> Resource:
    """A conversation stays where it is, however busy that is.

    Bounding the load is the picker's. Here it would keep another attempt from every server that is
    busier than the one that failed at once, which is never busy.
    """
    # Its own policy: the route's is what keeps a client on one revision.
    policy = [{"header": {"header_name": AFFINITY_HEADER}}]
    return {
        "minimum_ring_size": RING_SIZE,
        "consistent_hashing_lb_config": {"hash_policy": policy},
    }

"""Our router's chains: what a user switches on costs what a benchmark says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.routers import UNLIMITED, BenchRouter, bearer, bench_router, new_keys
from tests.bench.traffic import StubServers
from tests.router.program import endpoint, revision

PRESET: Final[dict[str, Any]] = {"defaults": {"temperature": 0.7, "top_k": 40}}
"""What a revision splices into each request."""
PICKING: Final = "envoy.filters.http.ext_proc"
ALL_BUT_ROUTING: Final = (
    "envoy.filters.http.header_mutation",
    "puna.limits",
    PICKING,
    "envoy.filters.http.stateful_session",
    "puna.splice",
    "envoy.filters.http.json_to_metadata",
    "puna.timings",
    "puna.usage",
)
"""What a request of no key and no preset needs for nothing but limits, slots and metrics."""
_KEYS, _HELD = new_keys("bench")


@dataclass(frozen=True, slots=True)
class Chain:
    """One way that requests take through a router."""

    name: str
    strategy: str
    access: bool = False
    """Clients need a key, which has limits."""
    presets: bool = False
    """Each request gets a preset's members."""
    without: tuple[str, ...] = ()
    """Filters that the router has and this chain has not."""
    logged: bool = True
    """Requests are logged and counted."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further members of the router file."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers that its clients send."""
        return bearer(_KEYS["bench"]) if self.access else {}

    def endpoints(self, slots: int) -> list[dict[str, Any]]:
        """Its endpoint, with so many slots of each server."""
        own = revision(slots=slots, **(PRESET if self.presets else {}))
        more: dict[str, Any] = {"strategy": self.strategy}
        if self.access:
            limits = {"requestsPerMinute": UNLIMITED, "burst": UNLIMITED}
            more["access"] = {"secret": "keys", **limits}
        return [endpoint("chat", own, **more)]

    @contextmanager
    def router(self, servers: StubServers, slots: int) -> Iterator[BenchRouter]:
        """A router with this chain."""
        backends = {"chat": servers.backends()}
        with bench_router(self.endpoints(slots), backends, **self.more) as router:
            if self.without:
                router.reduce(self.without, logged=self.logged)
            before = router.picker().picked
            yield router
            if PICKING in self.without and router.picker().picked != before:
                raise RuntimeError(f"the chain {self.name} has asked the picker")


_KEYED: Final[dict[str, Any]] = {"keys": {"keys": _HELD}}
PICKER: Final = Chain("picker", "PrefixAffinity", access=True, presets=True, more=_KEYED)
"""What a user gets: keys, limits, presets, metrics, slots and a queue."""
NATIVE: Final = Chain(
    "native", "LeastBusy", access=True, presets=True, without=(PICKING,), more=_KEYED
)
"""The same without slots and queue."""
AFFINE: Final = Chain("affine", "PrefixAffinity", without=(PICKING,))
"""A server by the hash of the prompt's beginning, with logs and metrics."""
ROUTING: Final = Chain("routing only", "PrefixAffinity", without=ALL_BUT_ROUTING, logged=False)
"""A server by the hash of the prompt's beginning, and nothing else."""

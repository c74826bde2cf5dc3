"""Weights: how exact they are, who keeps their side, and how soon a change acts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from tests.bench.namespaces import HOSTS, namespace_router
from tests.bench.renames import Renames
from tests.bench.report import Figure, report
from tests.bench.routers import (
    UNLIMITED,
    BenchRouter,
    bearer,
    bench_router,
    circumstances,
    new_keys,
)
from tests.bench.traffic import CHAT, Load, StubServers, run_load
from tests.ports import free_port
from tests.router.program import endpoint, revision

STABLE, CANARY = "aaaaaaaa", "bbbbbbbb"
PROCESSES = ("0000aaaa", "0000bbbb")
REQUESTS = 10_000
CONNECTIONS = 16
CLIENTS = 40
ASKED = 3
"""Requests of each client at each weight."""
CHANGES = 60
SETTLE_SECONDS = 0.25
PATIENCE_SECONDS = 3.0
LONGEST = "120s"
MILLISECOND = 1e6


def split(canary: int, **more: Any) -> dict[str, Any]:
    """An endpoint that gives a share to its canary."""
    revisions = [
        revision(STABLE, process=PROCESSES[0], weight=100 - canary),
        revision(CANARY, process=PROCESSES[1], weight=canary),
    ]
    return endpoint("chat", *revisions, strategy="LeastBusy", **more)


def share(router: BenchRouter, servers: StubServers, canary: int) -> float:
    """Percent of the requests that the canary got."""
    router.update([split(canary)], {"chat": servers.backends(*PROCESSES)})
    servers.reset()
    done = run_load(
        f"{router.url}{CHAT}", connections=CONNECTIONS, requests=REQUESTS, duration="60s"
    )
    got = [servers.counts(number)["requests"] for number in (0, 1)]
    if done.failed or sum(got) != REQUESTS:
        raise RuntimeError(f"{done.statuses} {done.errors} {got}")
    return 100 * got[1] / REQUESTS


def shares() -> list[Figure]:
    """Exactness of 90/10, and of nothing."""
    with (
        StubServers(2) as servers,
        bench_router([split(50)], {"chat": servers.backends(*PROCESSES)}) as router,
    ):
        tenth, nothing = share(router, servers, 10), share(router, servers, 0)
    return [
        Figure("weight 10: points off", abs(tenth - 10), goal=1.5),
        Figure("weight 0: requests", nothing * REQUESTS / 100, goal=0),
    ]


def sides(router: BenchRouter, keys: dict[str, str]) -> dict[str, set[str]]:
    """Servers that answered each client."""

    def ask(name: str) -> tuple[str, set[str]]:
        with httpx.Client(base_url=router.url, headers=bearer(keys[name])) as client:
            answers = [client.post(CHAT, json={"messages": []}) for _ in range(ASKED)]
        return name, {answer.json()["system_fingerprint"] for answer in answers}

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(ask, keys))


def sticky() -> list[Figure]:
    """Clients with keys while the canary's weight grows."""
    keys, held = new_keys(*(f"client-{number}" for number in range(CLIENTS)))
    access = {"secret": "keys", "requestsPerMinute": UNLIMITED, "burst": UNLIMITED}
    torn = back = 0
    moved: set[str] = set()
    told = []
    with StubServers(2) as servers:
        backends = {"chat": servers.backends(*PROCESSES)}
        first = split(10, access=access, stickiness="Key")
        with bench_router([first], backends, keys={"keys": held}) as router:
            for canary in (10, 50, 100):
                if canary != 10:
                    router.update([split(canary, access=access, stickiness="Key")], backends)
                    time.sleep(SETTLE_SECONDS)
                found = sides(router, keys)
                torn += sum(len(answered) != 1 for answered in found.values())
                there = {name for name, at in found.items() if servers.addresses[1] in at}
                back += len(moved - there)
                moved |= there
                told.append(len(there))
    return [
        Figure("keyed clients on the canary at 10", told[0]),
        Figure("at 50", told[1]),
        Figure("at 100", told[2], goal=CLIENTS, at_least=True),
        Figure("keyed clients with two sides at one weight", torn, goal=0),
        Figure("keyed clients that moved back", back, goal=0),
    ]


def effects(
    servers: StubServers, url: str, folder: Path, change: Callable[[int], int]
) -> tuple[list[float], list[float], int]:
    """Milliseconds from each change, and from its rename, to its first effect; failed requests.

    `change` gives the canary a weight, 0 or 100, and says when it did.
    """
    peak = run_load(url, connections=CONNECTIONS, duration="3s", warm_up="1s").rate
    from_change: list[float] = []
    from_rename: list[float] = []
    load = Load(url, connections=CONNECTIONS, rate=peak / 2, duration=LONGEST)
    with Renames(folder) as renames, load:
        for number in range(CHANGES):
            canary = 1 - number % 2
            time.sleep(SETTLE_SECONDS)
            servers.reset()
            seen = len(renames.times)
            began = change(100 * canary)
            first = first_request(servers, canary)
            from_change.append((first - began) / MILLISECOND)
            from_rename.append((first - renames.times[seen]) / MILLISECOND)
        return from_change, from_rename, load.stop().failed


def first_request(servers: StubServers, number: int) -> int:
    """When a server got its first request, in nanoseconds since the epoch."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (first := servers.counts(number)["first"]):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no effect within {PATIENCE_SECONDS} s")
        time.sleep(0.005)
    return first


def from_file() -> tuple[list[float], list[float], int]:
    """Effects of a router file's rename, and of the rename that Envoy sees."""
    with StubServers(2) as servers:
        backends = {"chat": servers.backends(*PROCESSES)}
        with bench_router([split(0)], backends) as router:

            def change(canary: int) -> int:
                router.rewrite([split(canary)], backends)
                return time.time_ns()

            return effects(servers, f"{router.url}{CHAT}", router.directory / "rds", change)


def from_config_map() -> tuple[list[float], list[float], int]:
    """Effects of a write of the ConfigMap through a real API server."""
    port = free_port()
    listen = [f"{host}:{port}" for host in HOSTS]
    first = {**split(0), "port": port}
    with (
        StubServers(listen=listen) as servers,
        namespace_router(first, PROCESSES) as router,
    ):

        def change(canary: int) -> int:
            began = time.time_ns()
            router.write({**split(canary), "port": port})
            return began

        return effects(servers, f"{router.url}{CHAT}", router.directory / "rds", change)


def spread(name: str, times: list[float], *, p50: float | None, p99: float | None) -> list[Figure]:
    """Median and 99th percentile with their goals."""
    cuts = quantiles(times, n=100, method="inclusive")
    return [
        Figure(f"{name}, p50", cuts[49], "ms", goal=p50),
        Figure(f"{name}, p99", cuts[98], "ms", goal=p99),
    ]


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    found = [*shares(), *sticky()]
    whole, envoy, failed = from_file()
    found += [
        *spread("rename that Envoy sees to first effect", envoy, p50=None, p99=20),
        *spread("router file to first effect", whole, p50=None, p99=None),
        Figure("router file: failed requests", failed, goal=0),
    ]
    whole, envoy, failed = from_config_map()
    found += [
        *spread("ConfigMap's write to first effect", whole, p50=20, p99=100),
        *spread("of it, from the rename", envoy, p50=None, p99=20),
        Figure("ConfigMap: failed requests", failed, goal=0),
    ]
    return report("router_weights", found, at_start)


if __name__ == "__main__":
    sys.exit(main())

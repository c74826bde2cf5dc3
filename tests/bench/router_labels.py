"""100,000 requests with random model names and as many with random keys: what they leave behind."""

from __future__ import annotations

import sys
import time

from tests.bench.processors import memory
from tests.bench.report import Figure, report
from tests.bench.routers import BenchRouter, bench_router, circumstances, new_keys
from tests.bench.traffic import CHAT, StubServers, Traffic, run_load
from tests.router.program import endpoint

NAMES = 100_000
WARM_UP = 10_000
CONNECTIONS = 32
MIB = 1 << 20
SETTLE_SECONDS = 6.0
"""Longer than Envoy keeps its statistics to itself."""
NAMELESS = '{"model":"model-{r}","messages":[]}'
KNOWN = '{"model":"locked","messages":[]}'


def odd_names(router: BenchRouter, count: int) -> Traffic:
    """Requests for models that nobody has."""
    url = f"{router.url}{CHAT}"
    return run_load(url, connections=CONNECTIONS, requests=count, body=NAMELESS, duration="100s")


def odd_keys(router: BenchRouter, count: int) -> Traffic:
    """Requests with keys that nobody has made."""
    return run_load(
        f"{router.url}{CHAT}",
        connections=CONNECTIONS,
        requests=count,
        duration="100s",
        body=KNOWN,
        headers={"authorization": "Bearer sk-{r}"},
    )


def series(router: BenchRouter) -> int:
    """Series that /metrics shows."""
    time.sleep(SETTLE_SECONDS)
    return sum(not line.startswith("#") for line in router.metrics().splitlines())


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    _, held = new_keys("known")
    locked = endpoint("locked", access={"secret": "keys"})
    with StubServers(1, slots=64) as servers:
        both = {"chat": servers.backends(), "locked": servers.backends()}
        with bench_router([endpoint("chat"), locked], both, keys={"keys": held}) as router:
            odd_names(router, WARM_UP)
            odd_keys(router, WARM_UP)
            before, bytes_before = series(router), memory(router.pid)
            named, keyed = odd_names(router, NAMES), odd_keys(router, NAMES)
            after, bytes_after = series(router), memory(router.pid)
    return report(
        "router_labels",
        [
            Figure("random models not answered 404", NAMES - named.statuses.get("404", 0), goal=0),
            Figure("random keys not answered 401", NAMES - keyed.statuses.get("401", 0), goal=0),
            Figure("series more than before", after - before, goal=0),
            Figure("series", after),
            Figure("memory more than before", (bytes_after - bytes_before) / MIB, "MiB", goal=8),
        ],
        {**at_start, "models": named.statuses, "keys": keyed.statuses},
    )


if __name__ == "__main__":
    sys.exit(main())

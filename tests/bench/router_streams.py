"""8,000 SSE streams at once through one processor, with and without the picker."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.bench.chains import NATIVE, PICKER, Chain
from tests.bench.processors import cpu_seconds, memory
from tests.bench.report import Figure, report
from tests.bench.routers import circumstances
from tests.bench.traffic import CHAT, Load, StubServers, Traffic

STREAMS = 8000
SERVERS = 8
RAMP_SECONDS = 16
INTERVAL_SECONDS = 0.8
TOKENS = 40
"""So that the first stream is under way when the last one has begun, and for a while."""
KIB = 1024
BODY = '{"model":"chat","stream":true,"messages":[{"role":"user","content":"hello {n}"}]}'


@dataclass(frozen=True, slots=True)
class Streamed:
    """One run."""

    traffic: Traffic
    envoy: float
    """Bytes of Envoy for each stream."""
    picker: float
    """Bytes of the Python processes for each stream."""
    core: float
    """Share of the processor while all streams were under way."""


def stream(chain: Chain) -> Streamed:
    """All streams through one chain."""
    with (
        StubServers(
            SERVERS, slots=STREAMS, interval=f"{INTERVAL_SECONDS}s", tokens=TOKENS
        ) as servers,
        chain.router(servers, STREAMS // SERVERS) as router,
    ):
        before = [memory(router.pid, name) for name in ("envoy", "python")]
        most = before
        busy: list[tuple[float, float]] = []
        began = time.monotonic()
        pace = {"connections": STREAMS, "requests": STREAMS, "ramp": f"{RAMP_SECONDS}s"}
        with Load(f"{router.url}{CHAT}", body=BODY, headers=chain.headers, **pace) as load:
            while load.running():
                now = [memory(router.pid, name) for name in ("envoy", "python")]
                most = [max(pair) for pair in zip(most, now, strict=True)]
                at = time.monotonic()
                if RAMP_SECONDS < at - began < TOKENS * INTERVAL_SECONDS:
                    busy.append((at, cpu_seconds(router.pid)))
                time.sleep(0.5)
            traffic = load.result()
        envoy, picker = (
            (after - first) / STREAMS for after, first in zip(most, before, strict=True)
        )
        (first, used), (last, at_last) = busy[0], busy[-1]
        return Streamed(traffic, envoy, picker, (at_last - used) / (last - first))


def figures(chain: Chain, streamed: Streamed) -> list[Figure]:
    """What one run says."""
    traffic, name = streamed.traffic, chain.name
    goal: dict[str, Any] = {"goal": 60} if chain is NATIVE else {}
    return [
        Figure(f"{name}: streams at once", traffic.most_open, goal=STREAMS, at_least=True),
        Figure(f"{name}: streams that failed", traffic.failed, goal=0),
        Figure(f"{name}: Envoy's memory per stream", streamed.envoy / KIB, "KiB", **goal),
        Figure(f"{name}: Python's memory per stream", streamed.picker / KIB, "KiB"),
        Figure(f"{name}: processor", streamed.core * 100, "%"),
        Figure(f"{name}: delay of an event, p50", traffic.delay["p50"], "ms"),
        Figure(f"{name}: delay of an event, p99", traffic.delay["p99"], "ms"),
    ]


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    found: list[Figure] = []
    errors: dict[str, Any] = {}
    for chain in (NATIVE, PICKER):
        streamed = stream(chain)
        errors[chain.name] = streamed.traffic.errors | streamed.traffic.statuses
        found += figures(chain, streamed)
    return report("router_streams", found, {**at_start, "answers": errors})


if __name__ == "__main__":
    sys.exit(main())

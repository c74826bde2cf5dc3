"""8,000 SSE streams at once through one processor, with and without the picker.

Each client has a connection of its own. Natively also as behind a gateway that speaks HTTP/2 to the
router, where many clients share one.
"""

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
SHARED = 100
"""Streams that share a connection of HTTP/2."""
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


def stream(chain: Chain, *, shared: int = 0) -> Streamed:
    """All streams through one chain; `shared` of them at a time over one connection of HTTP/2."""
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
        with Load(
            f"{router.url}{CHAT}",
            headers=chain.headers,
            body=BODY,
            connections=STREAMS,
            streams=shared,
            requests=STREAMS,
            ramp=f"{RAMP_SECONDS}s",
            duration="60s",
        ) as load:
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


def figures(name: str, streamed: Streamed, *, limited: bool) -> list[Figure]:
    """What one run says; `limited`: there is a goal for its memory."""
    traffic = streamed.traffic
    goal: dict[str, Any] = {"goal": 60} if limited else {}
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
    for chain, shared in ((NATIVE, 0), (NATIVE, SHARED), (PICKER, 0)):
        name = f"{chain.name}, HTTP/2" if shared else chain.name
        streamed = stream(chain, shared=shared)
        errors[name] = streamed.traffic.errors | streamed.traffic.statuses
        found += figures(name, streamed, limited=chain is NATIVE)
    return report("router_streams", found, {**at_start, "answers": errors})


if __name__ == "__main__":
    sys.exit(main())

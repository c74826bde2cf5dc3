"""Bursts, a flooding key and clients that leave, before stub servers that count for themselves."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.report import Figure, report
from tests.bench.routers import (
    UNLIMITED,
    BenchRouter,
    bearer,
    bench_router,
    circumstances,
    new_keys,
)
from tests.bench.traffic import CHAT, Load, StubServers, Traffic, run_load
from tests.router.program import endpoint, revision

SERVERS, SLOTS = 4, 4
CAPACITY = SERVERS * SLOTS
TIMES_CAPACITY = 5
SERVICE_SECONDS = 0.3
BURSTS = 3
FLASH, FLASH_SERVICE_SECONDS = 1000, 0.02
"""A burst in which Envoy is busy with requests for longer than with anything else."""
FLOOD_SECONDS = 8
FLOOD_SERVICE_SECONDS = 0.1
LEAVING = 334
"""Clients that leave in each of three places."""
BETWEEN_SECONDS = 0.002
"""Between two of them coming: they are no burst."""
GONE_SECONDS = 5.0


def queued(slots: int, depth: int, **more: Any) -> dict[str, Any]:
    """An endpoint with a queue."""
    own = revision(slots=slots)
    return endpoint("chat", own, queue={"maxDepth": depth, "timeoutSeconds": 60}, **more)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts of requests, one after the other."""

    traffic: list[Traffic]
    most: int
    """Requests that a server had at once."""
    unasked: int
    """Requests that Envoy sent without the picker's word."""


def bursts(requests: int, service: float, times: int) -> Bursts:
    """So many requests at once, each of which takes a server so many seconds."""
    with (
        StubServers(SERVERS, slots=SLOTS, before=f"{service}s") as servers,
        bench_router([queued(SLOTS, requests)], {"chat": servers.backends()}) as router,
    ):
        traffic = [
            run_load(f"{router.url}{CHAT}", connections=requests, requests=requests)
            for _ in range(times)
        ]
        counts = [servers.counts(number) for number in range(SERVERS)]
        most = max(count["maxInFlight"] for count in counts)
        got = sum(count["requests"] for count in counts)
        return Bursts(traffic, most, got - router.picker().picked)


def flood() -> tuple[Traffic, Traffic, int]:
    """The polite key's traffic, the flooding key's, and the most that a server had at once."""
    keys, held = new_keys("polite", "flooding")
    access = {"secret": "keys", "requestsPerMinute": UNLIMITED, "burst": UNLIMITED}
    with (
        StubServers(SERVERS, slots=SLOTS, before=f"{FLOOD_SERVICE_SECONDS}s") as servers,
        bench_router(
            [queued(SLOTS, 32, access=access)],
            {"chat": servers.backends()},
            keys={"keys": held},
        ) as router,
    ):
        url, seconds = f"{router.url}{CHAT}", f"{FLOOD_SECONDS}s"
        pace = {"connections": 100, "rate": 1000, "duration": seconds}
        with Load(url, headers=bearer(keys["flooding"]), **pace) as flooding:
            time.sleep(0.5)
            polite = run_load(url, headers=bearer(keys["polite"]), duration=f"{FLOOD_SECONDS - 1}s")
            most = max(servers.counts(number)["maxInFlight"] for number in range(SERVERS))
            return polite, flooding.result(), most


class Clients:
    """Clients that ask and then leave without a word."""

    def __init__(self, router: BenchRouter, count: int, *, stream: bool) -> None:
        body = json.dumps({"messages": [], "stream": stream}, separators=(",", ":"))
        head = f"POST {CHAT} HTTP/1.1\r\nhost: router\r\ncontent-length: {len(body)}\r\n\r\n"
        self._sockets = [router.socket() for _ in range(count)]
        for connection in self._sockets:
            connection.sendall((head + body).encode())
            time.sleep(BETWEEN_SECONDS)

    def reading(self) -> int:
        """How many have got something of their answer."""
        return len(select.select(self._sockets, [], [], 0)[0])

    def leave(self) -> None:
        """Close all connections."""
        for connection in self._sockets:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def until(fact: Callable[[], bool]) -> float:
    """Seconds until a fact is there."""
    began = time.monotonic()
    while not fact():
        if time.monotonic() - began > GONE_SECONDS:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - began


def in_flight(servers: StubServers) -> int:
    """Requests that all servers have now."""
    return sum(servers.counts(number)["inFlight"] for number in range(SERVERS))


def leave_queue() -> list[Figure]:
    """How soon the queue is empty after its clients have left."""
    with (
        StubServers(SERVERS, slots=SLOTS, before="60s") as servers,
        bench_router([queued(SLOTS, LEAVING)], {"chat": servers.backends()}) as router,
    ):
        holders = Clients(router, CAPACITY, stream=False)
        until(lambda: in_flight(servers) == CAPACITY)
        waiting = Clients(router, LEAVING, stream=False)
        until(lambda: router.picker().depth == LEAVING)
        depth = router.picker().depth
        waiting.leave()
        gone = until(lambda: router.picker().depth == 0)
        holders.leave()
        free = until(lambda: idle(router, servers))
    return [
        Figure("clients that left the queue", depth, goal=LEAVING, at_least=True),
        Figure("left the queue: all free after", max(gone, free), "s", goal=1),
    ]


def leave_slots(place: str, *, reading: bool) -> list[Figure]:
    """How soon all slots are free after the clients that held them have left."""
    slots = -(-LEAVING // SERVERS)
    pace = {"interval": "500ms", "tokens": 1000} if reading else {"before": "60s"}
    with (
        StubServers(SERVERS, slots=slots, **pace) as servers,
        bench_router([queued(slots, 0)], {"chat": servers.backends()}) as router,
    ):
        clients = Clients(router, LEAVING, stream=reading)
        until(lambda: in_flight(servers) == LEAVING)
        until(lambda: clients.reading() == (LEAVING if reading else 0))
        held = clients.reading() if reading else in_flight(servers)
        clients.leave()
        free = until(lambda: idle(router, servers))
    return [
        Figure(f"clients that left {place}", held, goal=LEAVING, at_least=True),
        Figure(f"left {place}: all free after", free, "s", goal=1),
    ]


def idle(router: BenchRouter, servers: StubServers) -> bool:
    """Whether neither the servers nor the picker have a request."""
    state = router.picker()
    held = sum(host.in_flight for host in state.hosts.values())
    return held == 0 and state.depth == 0 and in_flight(servers) == 0


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    bursting = bursts(TIMES_CAPACITY * CAPACITY, SERVICE_SECONDS, BURSTS)
    flash = bursts(FLASH, FLASH_SERVICE_SECONDS, 1)
    ideal = TIMES_CAPACITY * SERVICE_SECONDS
    polite, flooding, flooded_most = flood()
    wait = polite.latency["p95"] / 1000 - FLOOD_SERVICE_SECONDS
    return report(
        "router_queue",
        [
            Figure(
                "burst of 5x capacity", max(t.seconds for t in bursting.traffic), "s", ideal, 1.05
            ),
            Figure("burst: not answered", sum(t.failed for t in bursting.traffic), goal=0),
            Figure("burst: in flight per server", bursting.most, goal=SLOTS),
            Figure("burst: sent without a slot", bursting.unasked, goal=0),
            Figure("1,000 at once: not answered", flash.traffic[0].failed, goal=0),
            Figure("1,000 at once: in flight per server", flash.most, goal=SLOTS),
            Figure("1,000 at once: sent without a slot", flash.unasked, goal=0),
            Figure("polite key: refused", polite.failed, goal=0),
            Figure("polite key: answers", polite.answers),
            Figure("polite key: p95 wait", wait, "s", goal=2 * FLOOD_SERVICE_SECONDS),
            Figure("flooding key: answers", flooding.statuses.get("200", 0)),
            Figure("flooding key: refused", flooding.statuses.get("429", 0)),
            Figure("flooded: in flight per server", flooded_most, goal=SLOTS),
            *leave_queue(),
            *leave_slots("before a token", reading=False),
            *leave_slots("mid-stream", reading=True),
        ],
        {**at_start, "flooding": flooding.statuses},
    )


if __name__ == "__main__":
    sys.exit(main())

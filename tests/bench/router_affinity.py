"""Conversations before four servers: how many of them each one meets, by strategy."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

import httpx

from tests.bench.report import Figure, report
from tests.bench.routers import bench_router, circumstances
from tests.bench.traffic import CHAT, StubServers
from tests.router.program import endpoint, revision

HOSTS, SLOTS = 4, 4
CONVERSATIONS, TURNS = 200, 5
AT_ONCE = 8
"""Conversations under way at once: half of all slots."""
SERVICE = "20ms"
SYSTEM = "You are a helpful assistant. " * 20


def converse(url: str, number: int) -> set[str]:
    """Hosts that one conversation meets; every turn holds all before it."""
    met: set[str] = set()
    messages: list[dict[str, str]] = [{"role": "system", "content": SYSTEM}]
    with httpx.Client(base_url=url, timeout=30) as client:
        for turn in range(TURNS):
            question = f"Question {turn} of conversation {number}: " + "why? " * 40
            messages.append({"role": "user", "content": question})
            answer = client.post(CHAT, json={"messages": messages}).raise_for_status().json()
            met.add(answer["system_fingerprint"])
            messages.append(answer["choices"][0]["message"])
    return met


def hosts_met(strategy: str) -> tuple[float, float]:
    """Hosts per conversation, and the busiest host's share of the mean."""
    asked = endpoint("chat", revision(slots=SLOTS), strategy=strategy)
    with (
        StubServers(HOSTS, slots=SLOTS, before=SERVICE) as servers,
        bench_router([asked], {"chat": servers.backends()}) as router,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        met = list(pool.map(lambda number: converse(router.url, number), range(CONVERSATIONS)))
        requests = [servers.counts(number)["requests"] for number in range(HOSTS)]
    return mean(len(hosts) for hosts in met), max(requests) / mean(requests)


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    affine, affine_load = hosts_met("PrefixAffinity")
    busy, busy_load = hosts_met("LeastBusy")
    return report(
        "router_affinity",
        [
            Figure("hosts per conversation", affine, anchor=busy, goal=0.4),
            Figure("busiest host to the mean, PrefixAffinity", affine_load, goal=1.4),
            Figure("busiest host to the mean, LeastBusy", busy_load),
        ],
        at_start,
    )


if __name__ == "__main__":
    sys.exit(main())

"""Requests a second on one processor: our chains beside LiteLLM, vllm-router and sglang-router."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.bench.chains import AFFINE, NATIVE, PICKER, ROUTING, Chain
from tests.bench.peers import MODEL, PEERS, Peer
from tests.bench.processors import Pinned, cpu_seconds
from tests.bench.report import Figure, report
from tests.bench.routers import circumstances
from tests.bench.traffic import CHAT, StubServers, Traffic, run_load
from tests.ports import free_port

SERVERS, SLOTS = 4, 64
CONNECTIONS = 32
SECONDS, WARM_UP = 5, 2
BODY: Final = (
    '{"model":"chat","max_tokens":16,"temperature":0.5,"messages":['
    '{"role":"system","content":"You are a helpful assistant."},'
    '{"role":"user","content":"This is conversation {n}. What is the height of the tower?"}]}'
)
START_SECONDS = 120.0
LITELLM, VLLM, SGLANG = (peer.name for peer in PEERS)


@dataclass(frozen=True, slots=True)
class Target:
    """A router to send to."""

    url: str
    pid: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one router did."""

    rate: float
    """Requests a second."""
    processor: float
    """Microseconds of processor time for each request."""
    one: float
    """Milliseconds that half of the requests take, one at a time."""
    failed: int


@contextmanager
def ours(chain: Chain, servers: StubServers) -> Iterator[Target]:
    """Our router with one chain."""
    with chain.router(servers, SLOTS) as router:
        yield Target(router.url, router.pid, chain.headers)


@contextmanager
def theirs(peer: Peer, servers: StubServers) -> Iterator[Target]:
    """A peer."""
    environment, port = peer.folder(), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as name:
        folder = Path(name)
        command = peer.command(environment, folder, port, servers.urls)
        with Pinned(command, folder / "log", peer.environment) as running:
            began = time.monotonic()
            while not _answers(url, peer.headers):
                if time.monotonic() - began > START_SECONDS or running.process.poll() is not None:
                    raise RuntimeError(f"{peer.name} does not answer:\n{running.tail()}")
                time.sleep(0.2)
            yield Target(url, running.process.pid, peer.headers)


def _answers(url: str, headers: dict[str, str]) -> bool:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    try:
        return httpx.post(f"{url}{CHAT}", json=body, headers=headers, timeout=10).is_success
    except httpx.TransportError:
        return False


def measure(target: Target) -> Measured:
    """One at a time, then as many as 32 clients get answered."""
    url = f"{target.url}{CHAT}"
    one = run_load(url, headers=target.headers, body=BODY, duration="2s", warm_up="500ms")
    run_load(
        url, headers=target.headers, body=BODY, connections=CONNECTIONS, duration=f"{WARM_UP}s"
    )
    before = cpu_seconds(target.pid)
    many: Traffic = run_load(
        url, headers=target.headers, body=BODY, connections=CONNECTIONS, duration=f"{SECONDS}s"
    )
    used = cpu_seconds(target.pid) - before
    return Measured(
        rate=many.rate,
        processor=1e6 * used / max(many.answers, 1),
        one=one.latency.get("p50", float("nan")),
        failed=one.failed + many.failed,
    )


def main() -> int:
    """Measure all, one after the other, and report."""
    at_start = circumstances()
    found: dict[str, Measured] = {}
    with StubServers(SERVERS) as servers:
        straight = f"{servers.urls[0]}{CHAT}"
        direct = run_load(straight, body=BODY, duration="2s", warm_up="500ms")
        most = run_load(straight, body=BODY, connections=CONNECTIONS, duration="3s")
        for chain in (NATIVE, PICKER, AFFINE, ROUTING):
            with ours(chain, servers) as target:
                found[chain.name] = measure(target)
        for peer in PEERS:
            with theirs(peer, servers) as target:
                found[peer.name] = measure(target)
    native, picker, routing = (found[chain.name] for chain in (NATIVE, PICKER, ROUTING))
    added = {name: seen.one - direct.latency["p50"] for name, seen in found.items()}
    return report(
        "router_peers",
        [
            Figure("direct, stub and load on one processor", most.rate, "1/s"),
            Figure("native to LiteLLM", native.rate, "1/s", found[LITELLM].rate, 80, at_least=True),
            Figure("picker to LiteLLM", picker.rate, "1/s", found[LITELLM].rate, 40, at_least=True),
            *(
                Figure(
                    f"routing to {name}", routing.rate, "1/s", found[peer].rate, goal, at_least=True
                )
                for name, peer, goal in (("vllm", VLLM, 1.5), ("sglang", SGLANG, 1.2))
            ),
            Figure("affine, with logs and metrics", found[AFFINE.name].rate, "1/s"),
            Figure("native: added p50", added[NATIVE.name], "ms", goal=0.3),
            Figure("picker: added p50", added[PICKER.name], "ms", goal=0.6),
            *(Figure(f"{name}: added p50", added[name], "ms") for name in (LITELLM, VLLM, SGLANG)),
            *(
                Figure(f"{name}: processor", seen.processor, "us/request")
                for name, seen in found.items()
            ),
            Figure("failed requests", sum(seen.failed for seen in found.values()), goal=0),
        ],
        {**at_start, "failed": {name: seen.failed for name, seen in found.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())

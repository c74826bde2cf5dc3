"""100 rounds of the fault lab: random faults on four servers under 50 streams."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx

from puna_router.faults.fault import Fault
from tests.bench.processors import memory
from tests.bench.report import Figure, report
from tests.bench.routers import BenchRouter, bench_router, circumstances
from tests.bench.traffic import CHAT
from tests.router.lab import LabProgram
from tests.router.program import endpoint, eventually, revision

ROUNDS, SERVERS, STREAMS = 100, 4, 50
SLOTS, TOKENS = 16, 8
SEED = 4
RETRIES = 1
MIB = 1 << 20
SETTLED_ROUND = 20
"""Round whose memory the last one's is held against."""
LAB = (
    *("--slots", str(SLOTS), "--tokens", str(TOKENS), "--interval", "0.01"),
    *("--stall-seconds", "0.4", "--refuse-seconds", "0.3", "--leak-seconds", "0.3"),
    *("--trickle-seconds", "0"),
)
BEFORE_THE_ANSWER: Final = (Fault.REFUSE, Fault.RESET_BEFORE, Fault.ERROR_503)
"""Faults that another server makes good."""
WITHIN_THE_ANSWER: Final = (Fault.RESET_AFTER, Fault.TRUNCATE)
"""Faults that nobody can make good: the client has seen some of the answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one client was told."""

    id: str
    status: int
    """0: nothing that is an answer."""
    whole: bool
    """To its last event."""
    reason: str = ""


async def ask(client: httpx.AsyncClient, name: str) -> Told:
    """One stream."""
    status, said = 0, b""
    try:
        body = {"messages": [], "stream": True}
        headers = {"x-request-id": name}
        async with client.stream("POST", CHAT, json=body, headers=headers) as answer:
            status = answer.status_code
            async for part in answer.aiter_raw():
                # The last event is all that is asked for, and some answers are huge.
                said = said[-4096:] + part if status == httpx.codes.OK else said + part
    except httpx.TransportError as error:
        return Told(name, status, whole=False, reason=type(error).__name__)
    whole = status == httpx.codes.OK and b"[DONE]" in said
    return Told(name, status, whole, "" if whole else said.decode(errors="replace")[:200])


async def round_of(router: BenchRouter, number: int) -> list[Told]:
    """All streams of one round."""
    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(base_url=router.url, limits=limits, timeout=30) as client:
        names = [f"round-{number}-{stream}" for stream in range(STREAMS)]
        return list(await asyncio.gather(*(ask(client, name) for name in names)))


def plans(draw: random.Random) -> list[dict[str, float]]:
    """What goes wrong at each server in one round: something at up to three of them."""
    found: list[dict[str, float]] = []
    for _ in range(SERVERS):
        faults = draw.sample(list(Fault), 2)
        found.append({fault: round(draw.uniform(0.05, 0.4), 2) for fault in faults})
    found[draw.randrange(SERVERS)] = {}
    return found


def lost(told: Told, attempts: list[str | None], *, refusing: bool) -> bool:
    """Whether a request failed that another attempt could have saved.

    `attempts` are the faults of those that servers saw; where a server was `refusing`, one more
    may have met nobody.
    """
    if told.whole or any(fault in WITHIN_THE_ANSWER for fault in attempts):
        return False
    if told.status == httpx.codes.INTERNAL_SERVER_ERROR and Fault.ERROR_500 in attempts:
        return False
    made = sum(fault in BEFORE_THE_ANSWER for fault in attempts) + refusing
    return made <= RETRIES


@dataclass(slots=True)
class Lab:
    """All rounds."""

    told: list[Told]
    lost: list[tuple[Told, list[str | None]]]
    memory: list[int]
    """Resident bytes of the router after each round."""
    faults: Counter[str]


def rounds(router: BenchRouter, labs: list[LabProgram]) -> Lab:
    """Run them."""
    draw = random.Random(SEED)
    lab = Lab([], [], [], Counter())
    for number in range(ROUNDS):
        chosen = plans(draw)
        for server, plan in zip(labs, chosen, strict=True):
            server.follow(seed=number, **plan)
        told = asyncio.run(round_of(router, number))
        attempts: dict[str, list[str | None]] = {one.id: [] for one in told}
        for server in labs:
            for end in server.ends():
                if end["id"] in attempts:
                    attempts[end["id"]].append(end["fault"])
        refusing = any(Fault.REFUSE in plan for plan in chosen)
        lab.told += told
        lab.lost += [
            (one, attempts[one.id])
            for one in told
            if lost(one, attempts[one.id], refusing=refusing)
        ]
        lab.memory.append(memory(router.pid))
    lab.faults = sum((Counter(server.state()["faults"]) for server in labs), Counter())
    return lab


def at_rest(router: BenchRouter, labs: list[LabProgram]) -> dict[str, Any]:
    """What is still held once every fault has passed."""
    for server in labs:
        server.follow()
    time.sleep(1)
    state = router.picker()
    return {
        "picker": sum(host.in_flight for host in state.hosts.values()) + state.depth,
        "servers": sum(server.state()["concurrent"] for server in labs),
        "slots": sum(server.state()["slots"]["busy"] for server in labs),
    }


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    with ExitStack() as stack:
        labs = [stack.enter_context(LabProgram(*LAB)) for _ in range(SERVERS)]
        asked = endpoint(
            "chat",
            revision(slots=SLOTS),
            retries=RETRIES,
            queue={"maxDepth": STREAMS, "timeoutSeconds": 30},
        )
        backends = {"chat": [server.backend for server in labs]}
        router = stack.enter_context(bench_router([asked], backends))
        lab = rounds(router, labs)
        held = at_rest(router, labs)
        router.wait_healthy(SERVERS)
        most = max(server.state()["maxConcurrent"] for server in labs)
        eventually(lambda: router.client.post(CHAT, json={"messages": []}).status_code == 200)
    settled = max(lab.memory[: SETTLED_ROUND + 1])
    failed = [one for one in lab.told if not one.whole]
    return report(
        "router_faults",
        [
            Figure("requests", len(lab.told)),
            Figure("faults", sum(lab.faults.values())),
            Figure("requests that failed", len(failed)),
            Figure("lost although another attempt could save it", len(lab.lost), goal=0),
            Figure("held by the picker at the end", held["picker"], goal=0),
            Figure("held by the servers at the end", held["servers"] + held["slots"], goal=0),
            Figure("most requests in a server, further attempts included", most),
            Figure("memory at the end", lab.memory[-1] / MIB, "MiB", settled / MIB, 1.05),
        ],
        {
            **at_start,
            "faults": lab.faults,
            "failed by status": Counter(str(one.status) for one in failed),
            "lost": [(one.id, one.status, one.reason, faults) for one, faults in lab.lost[:10]],
        },
    )


if __name__ == "__main__":
    sys.exit(main())

"""A canary on a whole cluster: how exact its shares are, who keeps their side, how soon it is gone.

Real llama-servers behind the router of a namespace, an operator that decides. The shares are what
the router counted at each step; the time of a rollback is that from the operator's decision to the
last request that began at the canary.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any, NamedTuple

import httpx

from puna_router.config import CONTROL_PORT
from puna_router.samples import EndpointSamples
from tests.bench.clusters import bench_stage
from tests.bench.report import Figure, report
from tests.bench.routers import bearer, circumstances, new_keys
from tests.bench.traffic import Load, run_load
from tests.cluster import eventually
from tests.e2e.stage import Stage

STEPS = (10, 50, 100)
REQUESTS = 10_000
CONNECTIONS = 12
CLIENTS = 40
ASKED = 3
"""Requests of each client with a key at each step."""
ROLLBACKS = 10
SERVER = {"slots": 16, "contextLength": 2048}
PATH = "/v1/completions"
SETTLE_SECONDS = 1.5
"""After which all requests of a phase are counted, or logged."""
DECIDED = "applies at once ConfigMap"
"""In the operator's log, when a canary is rejected."""


class Rollback(NamedTuple):
    """Milliseconds after the operator's decision."""

    written: float
    """Until the API server had taken it."""
    effective: float
    """Until the last request began at the canary; 0: none did."""


def body(model: str) -> str:
    """One token for a prompt that no other request has."""
    return json.dumps({"model": model, "prompt": "{n}", "max_tokens": 1, "temperature": 0})


def steps(number: int) -> dict[str, Any]:
    """`spec.rollout`: so many steps, of which the last one waits for promotion."""
    weights = STEPS[:number]
    taken = [{"weight": weight, "holdSeconds": 1} for weight in weights[:-1]]
    canary = {"steps": [*taken, {"weight": weights[-1]}], "stickiness": "None"}
    return {"strategy": "Canary", "canary": canary}


def sticky(number: int) -> dict[str, Any]:
    """The same for clients that keep their side."""
    rollout = steps(number)
    rollout["canary"]["stickiness"] = "Key"
    return rollout


def canary_at(stage: Stage, name: str, weight: int) -> str | None:
    """The canary's revision once it has a weight."""
    canary = (stage.find(name) or {}).get("status", {}).get("canary") or {}
    return canary["revision"] if canary.get("step") and canary["weight"] == weight else None


def samples(stage: Stage) -> dict[str, int]:
    """Requests by revision, as the router has counted them."""
    (pod,) = stage.router_pods()
    address = pod["status"]["podIP"]
    answer = httpx.get(f"http://{address}:{CONTROL_PORT}/samples/chat", timeout=10)
    counted = EndpointSamples.model_validate_json(answer.content).revisions
    return {name: found.requests for name, found in counted.items()}


def share(stage: Stage, revision: str) -> float:
    """Percent of the requests that a revision gets."""
    before = samples(stage)
    done = run_load(
        f"{stage.url}{PATH}",
        body=body("chat"),
        connections=CONNECTIONS,
        requests=REQUESTS,
        duration="300s",
        seconds=320,
    )
    time.sleep(SETTLE_SECONDS)
    got = {name: count - before.get(name, 0) for name, count in samples(stage).items()}
    if done.failed or sum(got.values()) != done.answers:
        raise RuntimeError(f"{done.statuses} {done.errors} {got}")
    return 100 * got[revision] / done.answers


def access_log(stage: Stage, seconds: int) -> Iterator[dict[str, Any]]:
    """Lines of the router of the last seconds."""
    (pod,) = stage.router_pods()
    name = pod["metadata"]["name"]
    for container in pod["spec"]["containers"]:
        text = stage.kubectl(
            "logs", name, f"--container={container['name']}", f"--since={seconds}s"
        )
        for line in text.splitlines():
            if line.startswith("{") and '"revision"' in line:
                yield json.loads(line)


def sides(stage: Stage, keys: dict[str, str]) -> dict[str, set[str]]:
    """Revisions that answered each client."""
    began = datetime.now(UTC)

    def ask(key: str) -> None:
        content = {"model": "keyed", "prompt": "a", "max_tokens": 1}
        with httpx.Client(base_url=stage.url, headers=bearer(key), timeout=60) as client:
            for _ in range(ASKED):
                client.post(PATH.removeprefix("/"), json=content).raise_for_status()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, keys.values()))
    time.sleep(SETTLE_SECONDS)
    found: dict[str, set[str]] = defaultdict(set)
    for line in access_log(stage, int((datetime.now(UTC) - began).total_seconds()) + 2):
        if line.get("endpoint") == "keyed" and datetime.fromisoformat(line["time"]) >= began:
            found[line["key"]].add(line["revision"])
    return found


def shares(stage: Stage) -> list[Figure]:
    """What each step gives, of requests without a key and of clients with one."""
    keys, held = new_keys(*(f"client-{number}" for number in range(CLIENTS)))
    data = {name: json.dumps(entry) for name, entry in held.items()}
    access = {"apiKeySecretRef": {"name": "clients"}}
    stage.apply(
        stage.manifest("Secret", "clients", stringData=data),
        stage.preset("wide", server=SERVER),
        stage.endpoint(preset="wide", rollout=steps(1)),
        stage.endpoint("keyed", preset="wide", rollout=sticky(1), access=access),
    )
    stage.wait_ready("chat", "keyed")
    figures, torn, back, there = [], 0, 0, set[str]()
    for number, weight in enumerate(STEPS, start=1):
        for name, rollout in (("chat", steps), ("keyed", sticky)):
            stage.patch(name, rollout=rollout(number), model=stage.models.other.source)
        chat, keyed = (
            eventually(lambda n=name, w=weight: canary_at(stage, n, w), seconds=90)  # type: ignore[misc]
            for name in ("chat", "keyed")
        )
        time.sleep(SETTLE_SECONDS)
        off = abs(share(stage, chat) - weight)
        figures.append(Figure(f"weight {weight}: points off", off, goal=1.5))
        found = sides(stage, keys)
        moved = {name for name, answered in found.items() if f"keyed-{keyed}" in answered}
        torn += sum(len(answered) != 1 for answered in found.values())
        back += len(there - moved)
        there |= moved
        figures.append(Figure(f"weight {weight}: clients with a key on the canary", len(moved)))
        if len(found) != CLIENTS:
            raise RuntimeError(f"{len(found)} of {CLIENTS} clients in the router's log")
    stage.delete_everything()
    return [
        *figures,
        Figure("clients with a key with two sides at one step", torn, goal=0),
        Figure("clients with a key that moved back", back, goal=0),
    ]


@contextmanager
def judged(stage: Stage) -> Iterator[Callable[[], Rollback]]:
    """An endpoint whose canary takes a hundred times as long, under traffic."""
    analysis = {"minRequests": 20, "maxErrorPercent": 50}
    canary = {"steps": [{"weight": 50, "holdSeconds": 60}], "analysis": analysis}
    stage.apply(
        stage.preset("short", server=SERVER, maxTokens=1, forced=True),
        stage.preset("long", server=SERVER, maxTokens=100, forced=True),
        stage.endpoint(preset="short", rollout={"strategy": "Canary", "canary": canary}),
    )
    stage.wait_ready()
    load = Load(f"{stage.url}{PATH}", body=body("chat"), connections=CONNECTIONS, duration="600s")
    with load:
        yield lambda: rollback(stage)


def rollback(stage: Stage) -> Rollback:
    """Let a canary fail once, and go back to the spec of before."""
    stage.patch(presetRef={"name": "long"})
    stage.wait_condition("chat", "Progressing", "CanaryFailed", seconds=90)
    time.sleep(SETTLE_SECONDS)
    decided, written = decisions(stage)
    (revision,) = (
        item["name"]
        for item in (stage.find() or {})["status"]["revisions"]
        if item.get("outcome") == "Failed"
    )
    began = [
        datetime.fromisoformat(line["time"])
        for line in access_log(stage, 15)
        if line["revision"] == f"chat-{revision}"
    ]
    if not began:
        raise RuntimeError("no request of the canary in the router's log")
    stage.patch(presetRef={"name": "short"})
    stage.wait_ready()
    return Rollback(
        written=1000 * (written - decided).total_seconds(),
        effective=max(0.0, 1000 * (max(began) - decided).total_seconds()),
    )


def decisions(stage: Stage) -> tuple[datetime, datetime]:
    """When the operator last rejected a canary, and when that was written."""
    log = stage.cluster.paths.log("operator").read_text(encoding="utf-8").splitlines()
    ours = [line for line in log if f" {stage.namespace}/chat:" in line]
    at = max(number for number, line in enumerate(ours) if DECIDED in line)
    after = next(line for line in ours[at:] if "applied ConfigMap" in line)
    return _time(ours[at]), _time(after)


def _time(line: str) -> datetime:
    return datetime.fromisoformat(line.split(" ", 1)[0])


def main() -> int:
    """Measure and report."""
    at_start = circumstances()
    with bench_stage() as stage:
        figures = shares(stage)
        print(*figures, sep="\n", flush=True)
        with judged(stage) as fail:
            found = [fail() for _ in range(ROLLBACKS)]
        print(*found, sep="\n", flush=True)
        stage.delete_everything()
    effective = [item.effective for item in found]
    figures += [
        Figure("rejected to written, median", median(item.written for item in found), "ms"),
        Figure("rejected to weight 0, median", median(effective), "ms", goal=20),
        Figure("rejected to weight 0, longest", max(effective), "ms"),
    ]
    return report("canary_rollout", figures, at_start)


if __name__ == "__main__":
    sys.exit(main())

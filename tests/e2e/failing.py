"""Ways in which servers fail under traffic, each measured: for tests and for the benchmark."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from puna.endpoint.pod import SERVER
from tests.cluster import eventually
from tests.e2e.objects import Manifest
from tests.e2e.processes import container_process
from tests.e2e.servers import Servers, healthy_pods, wait_excluded, wait_included
from tests.e2e.stage import Stage
from tests.e2e.traffic import Load, Outcome, steady

HEALTH_INTERVAL_SECONDS = 2.0
HEALTH_THRESHOLD = 2
SLOTS = 8


@dataclass(frozen=True, slots=True)
class Killed:
    """What a SIGKILL of one of two llama-servers did."""

    plain: int
    failed_plain: tuple[str, ...]
    streams: int
    broken_streams: int
    blameless_broken: tuple[str, ...]
    """Streams that broke though their answer did not come from the killed server."""
    excluded_seconds: float
    back_seconds: float


def kill_a_server(stage: Stage, *, seconds: float) -> Killed:
    """SIGKILL one of two llama-servers of `chat` under traffic that lasts for `seconds` after."""
    servers = Servers(stage, stage.backend_key())
    load = Load(stage.url, plain=3, streams=4, plain_tokens=4, stream_tokens=40)
    with steady(load) as traffic:
        eventually(lambda: traffic.count(lambda item: item.good) > 20, seconds=60)
        victim = stage.pods()[0]
        process = container_process(victim, SERVER)
        eventually(lambda: len(servers.seeds(victim)) >= 2, seconds=30, what="streams on it")
        own = servers.seeds(victim)
        seen = time.monotonic()
        process.kill()
        killed = time.monotonic()
        name = victim["metadata"]["name"]
        excluded = wait_excluded(stage, name, seconds=10)
        back = wait_included(stage, name, seconds=30)
        time.sleep(max(0.0, seconds - (time.monotonic() - killed)))
    outcomes = traffic.outcomes
    broken = [item for item in outcomes if item.streamed and not item.good]
    return Killed(
        plain=sum(not item.streamed for item in outcomes),
        failed_plain=tuple(told(item) for item in outcomes if not item.streamed and not item.good),
        streams=sum(item.streamed for item in outcomes),
        broken_streams=len(broken),
        # What got its headers between the look and the kill may have been the killed server's.
        blameless_broken=tuple(
            told(item)
            for item in broken
            if item.seed not in own
            and not (item.headers_at and seen <= item.headers_at <= killed + 0.05)
        ),
        excluded_seconds=excluded,
        back_seconds=excluded + back,
    )


def told(item: Outcome) -> str:
    """One failed request in a line."""
    return f"{item.seed}: status {item.status} after {item.events} events: {item.problem}"


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """What a server did whose `/health` answered 503 while its Pod stayed Ready."""

    excluded_seconds: float
    back_seconds: float
    failed: tuple[str, ...]
    answered_while_excluded: int
    """Requests that reached it in that time."""


def make_unhealthy(stage: Stage) -> Unhealthy:
    """Turn `/health` of a stand-in beside one real server of `chat` to 503, and back to 200."""
    with stand_in(stage) as pod:
        name = pod["metadata"]["name"]
        with steady(Load(stage.url, plain=2, plain_tokens=4, pause=0.02)) as traffic:
            _become(pod, 503)
            excluded = wait_excluded(stage, name, seconds=30)
            before = _answered(pod)
            time.sleep(1.0)
            reached = _answered(pod) - before
            assert healthy_pods(stage), "the real server left too"
            _become(pod, 200)
            back = wait_included(stage, name, seconds=30)
        failed = tuple(told(item) for item in traffic.outcomes if not item.good)
    return Unhealthy(excluded, back, failed, reached)


@contextlib.contextmanager
def stand_in(stage: Stage) -> Iterator[Manifest]:
    """A Pod with the labels of `chat`, a readiness probe of its own, and the stand-in in it."""
    real = stage.pods()[0]
    name = "stand-in"
    labels = {
        key: value
        for key, value in real["metadata"]["labels"].items()
        if key != "pod-template-hash"
    }
    spec = {key: real["spec"][key] for key in ("securityContext", "volumes")}
    container = dict(real["spec"]["containers"][0])
    words = container["args"]
    place = words.index("--model") + 1
    folder = words[place].rpartition("/")[0]
    container["args"] = [*words[:place], f"{folder}/stand-in.gguf", *words[place + 1 :]]
    container["readinessProbe"] = {
        "httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1
    }  # fmt: skip
    for key in ("startupProbe", "livenessProbe", "lifecycle"):
        container.pop(key, None)
    spec |= {"containers": [container], "automountServiceAccountToken": False}
    pod = stage.manifest("Pod", name, spec=spec)
    pod["metadata"]["labels"] = labels
    stage.apply(pod)
    try:
        wait_included(stage, name, seconds=30)
        made = stage.objects.get("Pod", stage.namespace, name)
        assert made is not None
        yield made
    finally:
        stage.objects.delete("Pod", stage.namespace, name)
        eventually(lambda: stage.objects.get("Pod", stage.namespace, name) is None, seconds=60)


def _base(pod: Manifest) -> str:
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    return f"http://{pod['status']['podIP']}:{port}"


def _become(pod: Manifest, status: int) -> None:
    httpx.post(f"{_base(pod)}/become/{status}", timeout=5, trust_env=False).raise_for_status()


def _answered(pod: Manifest) -> int:
    count: int = httpx.get(f"{_base(pod)}/answered", timeout=5, trust_env=False).json()
    return count

"""Rows 6, 7 and 12, and rollouts: what clients notice while servers, routers and specs change."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.cluster import LocalCluster, eventually
from tests.e2e.failing import (
    HEALTH_INTERVAL_SECONDS,
    HEALTH_THRESHOLD,
    SLOTS,
    kill_a_server,
    make_unhealthy,
)
from tests.e2e.models import Models
from tests.e2e.notes import note
from tests.e2e.objects import Objects
from tests.e2e.processes import container_process
from tests.e2e.stage import Stage
from tests.e2e.stand_in import PACE_SECONDS
from tests.e2e.traffic import Load, Outcome, failures, steady

pytestmark = pytest.mark.e2e

STREAM_SECONDS = 30.0
BACK_SECONDS = {"envoy": 3.0, "control": 6.0, "picker": 0.0}
"""Longest time without answers after a router's process was killed: a Pod is not ready while one of
its containers starts again, and the picker's does not end with it."""


@pytest.fixture(scope="module")
def pair(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Stage]:
    """Endpoint `chat` with two replicas."""
    stage = Stage(local_cluster, objects, models, local_cluster.new_namespace("pair"))
    stage.apply(
        stage.preset("many", server={"slots": SLOTS, "contextLength": 2048}),
        stage.endpoint(preset="many", replicas=2),
    )
    stage.wait_ready()
    yield stage
    stage.delete_everything()


@pytest.fixture(scope="module")
def slow_pair(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Stage]:
    """Endpoint `chat` with two replicas of a model whose streams last."""
    stage = Stage(local_cluster, objects, models, local_cluster.new_namespace("slow"))
    stage.apply(
        stage.preset("many", server={"slots": SLOTS, "contextLength": 8192, "threads": 1}),
        stage.endpoint(model=models.slow, preset="many", replicas=2),
    )
    stage.wait_ready()
    yield stage
    stage.delete_everything()


def test_a_killed_server_fails_only_its_own_streams(slow_pair: Stage) -> None:
    result = kill_a_server(slow_pair, seconds=3)
    note(result)
    assert result.failed_plain == ()
    assert result.blameless_broken == ()
    assert result.excluded_seconds <= 1.0
    slow_pair.wait_ready()


def test_an_unhealthy_server_is_excluded_though_its_pod_is_ready(stage: Stage) -> None:
    stage.apply(stage.endpoint())
    stage.wait_ready()
    result = make_unhealthy(stage)
    note(result)
    bound = HEALTH_THRESHOLD * HEALTH_INTERVAL_SECONDS * 1.1 + 0.5
    assert result.excluded_seconds <= bound
    assert result.back_seconds <= HEALTH_INTERVAL_SECONDS * 1.1 + 0.5
    assert result.answered_while_excluded == 0
    assert result.failed == ()


def test_a_long_stream_outlives_every_kind_of_change(stage: Stage) -> None:
    # A server of a known pace: the real one's depends on what else the machine does.
    stage.apply(stage.endpoint(model=stage.models.stand_in, replicas=2))
    stage.wait_ready()
    load = Load(stage.url, streams=1, stream_tokens=int(STREAM_SECONDS / PACE_SECONDS))
    with steady(load) as traffic:
        stream = eventually(lambda: _started(traffic.outcomes), seconds=20)
        traffic.finish()
        stage.apply(stage.preset("extra", forced=True, temperature=0.1))
        stage.patch(presets=["extra"])
        eventually(lambda: "chat:extra" in _models(stage), seconds=10, what="the preset")
        stage.apply(stage.preset("extra", forced=True, temperature=0.2))
        stage.apply(stage.endpoint("another"))
        stage.wait_ready("another")
        assert stage.ask("another")["choices"]
        stage.patch(replicas=3)
        stage.wait_ready()
        stage.patch(replicas=2)
        stage.objects.delete("LLMEndpoint", stage.namespace, "another")
        eventually(lambda: "another" not in _models(stage), seconds=20, what="one endpoint less")
        assert stream.ended is None, "the stream was over before the last change"
    assert stream.good, stream
    assert stream.ended is not None
    note(f"stream of {stream.ended - stream.began:.1f} s, {stream.events} events")
    assert stream.ended - stream.began >= STREAM_SECONDS


def _models(stage: Stage) -> set[str]:
    return {model["id"] for model in stage.read("/v1/models")["data"]}


def _started(outcomes: list[Outcome]) -> Outcome | None:
    return next((item for item in outcomes if item.first_at is not None), None)


def test_a_surge_loses_nothing(pair: Stage) -> None:
    with steady(Load(pair.url, plain=2, streams=2, pause=0.02)) as traffic:
        _some(traffic.outcomes)
        revision = _revision(pair)
        pair.patch(model=pair.models.other.source)
        pair.wait_ready()
        assert _revision(pair) != revision
        pair.apply(pair.preset("many", server={"slots": SLOTS, "contextLength": 1024}))
        eventually(lambda: _context(pair) == 1024, seconds=30, what="the new server settings")
        pair.wait_ready()
        eventually(lambda: len(pair.pods()) == 2, seconds=30, what="the old servers gone")
    assert failures(traffic.outcomes) == []


def _some(outcomes: list[Outcome], number: int = 10) -> None:
    now = len(outcomes)
    eventually(lambda: sum(item.good for item in outcomes[now:]) >= number, seconds=30)


def _revision(stage: Stage) -> str:
    found = stage.find()
    assert found is not None
    revision: str = found["status"]["stableRevision"]
    return revision


def _context(stage: Stage) -> int:
    answer = httpx.get(f"{stage.url}/endpoints/chat/props", timeout=10, trust_env=False)
    size: int = answer.json()["default_generation_settings"]["n_ctx"]
    return size


def test_a_change_of_sampling_starts_no_pods(pair: Stage) -> None:
    before = {pod["metadata"]["uid"] for pod in pair.pods()}
    with steady(Load(pair.url, plain=2, streams=1, pause=0.02)) as traffic:
        _some(traffic.outcomes)
        revision = _revision(pair)
        change = {"spec": {"precedence": "Forced", "sampling": {"temperature": 0.125}}}
        pair.objects.patch("Preset", pair.namespace, "many", change)
        eventually(lambda: _revision(pair) != revision, seconds=20, what="a new revision")
        pair.wait_ready()
        eventually(lambda: _temperature(pair) == pytest.approx(0.125), seconds=5)
    assert failures(traffic.outcomes) == []
    assert {pod["metadata"]["uid"] for pod in pair.pods()} == before


def _temperature(stage: Stage) -> float:
    answer = stage.ask(path="/endpoints/chat/completion")
    value: float = answer["generation_settings"]["temperature"]
    return value


def test_deleted_pods_give_no_errors(pair: Stage) -> None:
    with steady(Load(pair.url, plain=3, streams=2, pause=0.01)) as traffic:
        for _ in range(2):
            _some(traffic.outcomes)
            gone = pair.pods()[0]["metadata"]["name"]
            pair.objects.delete("Pod", pair.namespace, gone)
            eventually(
                lambda name=gone: name not in {p["metadata"]["name"] for p in pair.pods()},  # type: ignore[misc]
                seconds=20,
            )
            pair.wait_ready()
        _some(traffic.outcomes)
    note(f"{len(traffic.outcomes)} requests, {len(failures(traffic.outcomes))} failed")
    assert failures(traffic.outcomes) == []


def test_replace_ends_the_old_server_first(stage: Stage) -> None:
    stage.apply(stage.endpoint(rollout={"strategy": "Replace"}))
    stage.wait_ready()
    old = stage.pods()[0]["metadata"]["labels"]["puna.dev/process"]
    seen: list[frozenset[str]] = []

    def finished() -> bool:
        pods = stage.objects.all("Pod", stage.namespace, "puna.dev/process")
        processes = frozenset(
            pod["metadata"]["labels"]["puna.dev/process"]
            for pod in pods
            if pod.get("status", {}).get("phase") in {"Pending", "Running"}
        )
        if not seen or seen[-1] != processes:
            seen.append(processes)
        return len(processes) == 1 and old not in processes

    stage.patch(model=stage.models.other.source)
    eventually(finished, seconds=40, what="the new server alone")
    stage.wait_ready()
    assert all(len(processes) <= 1 for processes in seen), seen
    assert stage.ask()["choices"]


@pytest.mark.parametrize("container", ["envoy", "control", "picker"])
def test_a_killed_router_process_is_back_at_once(pair: Stage, container: str) -> None:
    pod = pair.router_pods()[0]
    with steady(Load(pair.url, plain=1, pause=0.02)) as traffic:
        _some(traffic.outcomes)
        process = container_process(pod, container)
        parent = process.ppid()
        process.kill()
        killed = time.monotonic()
        process.wait(5)
        eventually(
            lambda: sum(item.good and item.began > killed + 0.5 for item in traffic.outcomes) > 5,
            seconds=20,
            what="answers",
        )
    failed = [item for item in traffic.outcomes if not item.good]
    away = max((item.ended or 0.0 for item in failed), default=killed) - killed
    note(f"{container}: {len(failed)} requests failed, the last after {away:.2f} s")
    assert away <= BACK_SECONDS[container]
    if container == "picker":  # Envoy balances by itself meanwhile
        assert failed == []
        eventually(lambda: container_process(pod, container).ppid() == parent, what="another one")
    pair.wait_ready()
    assert pair.ask()["choices"]

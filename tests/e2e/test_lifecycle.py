"""The life of an endpoint under traffic: a good model takes over, a bad one is rolled back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from puna.endpoint.router_config import router_config_name
from puna_router.config import CONFIG_KEY
from tests.cluster import eventually
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, condition
from tests.e2e.processes import kill_operator, start_operator
from tests.e2e.stage import Stage
from tests.e2e.traffic import Load, Traffic, failures, steady

pytestmark = pytest.mark.e2e

STREAMS = 50
SERVER = {"slots": 48, "contextLength": 512}
"""Half of the streams fit one server, and a few more: others would wait, and only for the canary,
which has one server where the stable revision has two."""
LIMITS = {
    "minRequests": 20,
    "maxErrorPercent": 10,
    "maxLatencyPercent": 3000,
    "maxTTFTPercent": 3000,
}
"""A server that has just started, on a machine with little else to give, may be many times as slow;
the slow model is a hundred times as slow."""
STEPS = (10, 50, 100)


def rollout(hold_seconds: int = 2, **limits: Any) -> Manifest:
    """`spec.rollout`: judged at each step."""
    steps = [{"weight": weight, "holdSeconds": hold_seconds} for weight in STEPS]
    return {"strategy": "Canary", "canary": {"steps": steps, "analysis": LIMITS | limits}}


@pytest.fixture
def pair(stage: Stage) -> Stage:
    """Endpoint `chat` with two servers, whose changes are judged at 10, 50 and 100 %."""
    stage.apply(
        stage.preset("wide", server=SERVER),
        stage.endpoint(
            preset="wide", replicas=2, rollout=rollout(), routing={"queue": {"maxDepth": 200}}
        ),
    )
    stage.wait_ready()
    return stage


@contextmanager
def crowd(stage: Stage) -> Iterator[Traffic]:
    """Fifty streams at once, each as short as a sentence; none may fail."""
    with steady(Load(stage.url, streams=STREAMS, stream_tokens=20)) as traffic:
        eventually(lambda: traffic.count(lambda item: item.good) > STREAMS, seconds=60)
        yield traffic
    assert failures(traffic.outcomes) == []
    note(f"{len(traffic.outcomes)} streams, {STREAMS} at once, none failed")


def told(stage: Stage) -> dict[str, Any]:
    found = stage.find()
    assert found is not None
    status: dict[str, Any] = found["status"]
    return status


def wait_stable(stage: Stage, revision: str) -> None:
    """Wait until a revision has taken over and is alone."""
    try:
        eventually(lambda: told(stage)["stableRevision"] == revision, seconds=120)
    except AssertionError:
        raise AssertionError(f"no promotion:\n{stage.story('chat')}") from None
    stage.wait_ready()
    eventually(lambda: len(uids(stage)) == 1, seconds=60, what="the old servers gone")


def wait_canary(stage: Stage, weight: int) -> str:
    """Wait until a canary has a weight; returns its revision."""

    def found() -> str | None:
        canary = told(stage).get("canary") or {}
        reached = canary.get("step", 0) > 0 and canary["weight"] >= weight
        return canary["revision"] if reached else None

    try:
        return eventually(found, seconds=120)
    except AssertionError:
        raise AssertionError(f"no canary at {weight}%:\n{stage.story('chat')}") from None


def uids(stage: Stage) -> dict[str, set[str]]:
    """UIDs of Pods by process."""
    found: dict[str, set[str]] = {}
    for pod in stage.pods():
        process = pod["metadata"]["labels"]["puna.dev/process"]
        found.setdefault(process, set()).add(pod["metadata"]["uid"])
    return found


def restarts(stage: Stage) -> Counter[str]:
    """Restarts of containers by Pod."""
    return Counter(
        {
            pod["metadata"]["uid"]: container["restartCount"]
            for pod in stage.pods()
            for container in pod["status"].get("containerStatuses", ())
        }
    )


def weights(stage: Stage) -> set[int]:
    """Shares that the routers are told of."""
    held = stage.objects.get("ConfigMap", stage.namespace, router_config_name("chat"))
    assert held is not None
    return {item["weight"] for item in json.loads(held["data"][CONFIG_KEY])["revisions"]}


def events(stage: Stage) -> list[str]:
    return [event["reason"] for event in stage.objects.all("Event", stage.namespace)]


def test_a_good_model_takes_over_and_a_slow_one_is_rolled_back(pair: Stage) -> None:
    with crowd(pair) as traffic:
        old = set(uids(pair))
        pair.patch(model=pair.models.other.source)
        second = wait_canary(pair, 10)
        (begun,) = (pods for process, pods in uids(pair).items() if process not in old)
        wait_stable(pair, second)
        (serving,) = uids(pair).values()
        assert begun <= serving, "a Pod of the canary was restarted by its promotion"
        assert not +restarts(pair)
        pair.patch(model=pair.models.slow.source)
        third = wait_canary(pair, 10)
        asked = len(traffic.outcomes)
        reason = pair.wait_condition("chat", "Progressing", "CanaryFailed")["message"]
        note(f"rolled back after {len(traffic.outcomes) - asked} streams at 10 %: {reason}")
        eventually(lambda: list(uids(pair).values()) == [serving], seconds=60)
    status = told(pair)
    assert status["stableRevision"] == second
    outcomes = {item["name"]: item.get("outcome") for item in status["revisions"]}
    assert outcomes[third] == "Failed"
    assert "Latency" in reason or "TTFT" in reason
    available = condition(pair.find(), "Available")
    assert available["status"] == "True"
    assert {"Promoted", "CanaryFailed"} <= set(events(pair))


def test_an_operator_killed_at_each_step_changes_no_end(pair: Stage) -> None:
    pair.patch(rollout=rollout(hold_seconds=4))
    with crowd(pair) as traffic:
        pair.patch(model=pair.models.other.source)
        revision = wait_canary(pair, 10)
        for weight in STEPS:
            assert wait_canary(pair, weight) == revision
            kill_operator(pair.cluster)
            before = traffic.count(lambda item: item.good)
            eventually(
                lambda n=before: traffic.count(lambda item: item.good) > n + STREAMS,  # type: ignore[misc]
                seconds=30,
            )
            assert weight in weights(pair)
            start_operator(pair.cluster)
        wait_stable(pair, revision)
        pair.patch(model=pair.models.slow.source)
        wait_canary(pair, 10)
        kill_operator(pair.cluster)
        start_operator(pair.cluster)
        pair.wait_condition("chat", "Progressing", "CanaryFailed")
    assert told(pair)["stableRevision"] == revision
    assert events(pair).count("Promoted") == 1


def test_a_router_rolled_at_each_step_changes_no_end(pair: Stage) -> None:
    pair.patch(rollout=rollout(hold_seconds=4))
    with crowd(pair):
        pair.patch(model=pair.models.other.source)
        revision = wait_canary(pair, 10)
        for weight in STEPS:
            assert wait_canary(pair, weight) == revision
            before = {pod["metadata"]["uid"] for pod in pair.router_pods()}
            pair.kubectl("rollout", "restart", "deployment/puna-router")
            eventually(
                lambda old=before: old.isdisjoint(  # type: ignore[misc]
                    pod["metadata"]["uid"] for pod in pair.router_pods()
                ),
                seconds=60,
                what="new routers",
            )
        wait_stable(pair, revision)
        pair.patch(model=pair.models.slow.source)
        wait_canary(pair, 10)
        pair.kubectl("rollout", "restart", "deployment/puna-router")
        pair.wait_condition("chat", "Progressing", "CanaryFailed")
    assert told(pair)["stableRevision"] == revision

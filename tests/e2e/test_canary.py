"""A change that takes over step by step: by hand, in time, and with the operator away."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.cluster import eventually
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, condition
from tests.e2e.processes import kill_operator, start_operator
from tests.e2e.stage import Stage
from tests.e2e.traffic import Load, Outcome, failures, steady

pytestmark = pytest.mark.e2e

CALM, LIVELY = 0.25, 0.75
REQUESTS = 300
SERVER = {"slots": 8, "contextLength": 2048}


def canary(*steps: dict[str, int]) -> Manifest:
    """`spec.rollout`."""
    return {"strategy": "Canary", "canary": {"steps": list(steps or ({"weight": 10},))}}


@pytest.fixture
def pair(stage: Stage) -> Stage:
    """Endpoint `chat` with two servers, whose changes wait for promotion at 10%."""
    stage.apply(
        stage.preset("calm", server=SERVER, temperature=CALM),
        stage.preset("lively", server=SERVER, temperature=LIVELY),
        stage.endpoint(preset="calm", replicas=2, rollout=canary()),
    )
    stage.wait_ready()
    return stage


def status(stage: Stage) -> dict[str, Any]:
    found = stage.find()
    assert found is not None
    told: dict[str, Any] = found["status"]
    return told


def wait_weight(stage: Stage, weight: int) -> str:
    """Wait until a canary gets a share; returns its revision."""

    def found() -> str | None:
        told = status(stage).get("canary", {})
        return told["revision"] if told.get("weight") == weight and told["step"] else None

    try:
        return eventually(found, seconds=60)
    except AssertionError:
        raise AssertionError(f"no canary at {weight}%:\n{stage.story('chat')}") from None


def order(stage: Stage, command: str) -> str:
    """Output of `puna promote` or `puna abort`, which has to succeed."""
    done = stage.cluster.puna(command, "chat", f"--namespace={stage.namespace}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused_order(stage: Stage, command: str, name: str = "chat") -> str:
    """What `puna promote` or `puna abort` says where there is nothing to order."""
    done = stage.cluster.puna(command, name, f"--namespace={stage.namespace}")
    assert done.returncode == 1
    return done.stderr


def processes(stage: Stage) -> Counter[str]:
    """How many servers there are of each process."""
    return Counter(pod["metadata"]["labels"]["puna.dev/process"] for pod in stage.pods())


def rollout_column(stage: Stage) -> str:
    """The column of `kubectl get llme`."""
    head, row = stage.kubectl("get", "llme", "chat").splitlines()
    start = head.index("ROLLOUT")
    return row[start : head.index("URL")].strip()


def some(outcomes: list[Outcome], number: int = 10) -> None:
    """Wait for further good answers."""
    now = len(outcomes)
    eventually(lambda: sum(item.good for item in outcomes[now:]) >= number, seconds=30)


def test_a_changed_model_is_promoted_by_hand_while_the_operator_is_killed(pair: Stage) -> None:
    stable = status(pair)["stableRevision"]
    with steady(Load(pair.url, plain=2, streams=2, pause=0.02)) as traffic:
        some(traffic.outcomes)
        old = set(processes(pair))
        pair.patch(model=pair.models.other.source)
        revision = wait_weight(pair, 10)
        assert sorted(processes(pair).values()) == [1, 2]
        (first,) = (
            pod["metadata"]["uid"]
            for pod in pair.pods()
            if pod["metadata"]["labels"]["puna.dev/process"] not in old
        )
        assert rollout_column(pair) == f"10% -> {revision}"
        waiting = condition(pair.find(), "Progressing")
        assert waiting["reason"] == "CanaryRunning"
        assert waiting["message"].endswith("waits for promotion: puna promote chat")
        some(traffic.outcomes, 20)
        kill_operator(pair.cluster)
        assert revision in order(pair, "promote")
        start_operator(pair.cluster)
        pair.wait_ready()
        eventually(lambda: len(processes(pair)) == 1, seconds=30, what="the old servers gone")
        some(traffic.outcomes)
    assert failures(traffic.outcomes) == []
    assert status(pair)["stableRevision"] == revision != stable
    assert first in {pod["metadata"]["uid"] for pod in pair.pods()}
    assert {event["reason"] for event in pair.objects.all("Event", pair.namespace)} >= {
        "CanaryAdvanced",
        "Promoted",
    }


def test_an_aborted_model_gets_no_more_requests(pair: Stage) -> None:
    stable, before = status(pair)["stableRevision"], {p["metadata"]["uid"] for p in pair.pods()}
    with steady(Load(pair.url, plain=2, streams=1, pause=0.02)) as traffic:
        some(traffic.outcomes)
        pair.patch(model=pair.models.other.source)
        revision = wait_weight(pair, 10)
        found = pair.find()
        assert found is not None
        generation = found["metadata"]["generation"]
        assert revision in order(pair, "abort")
        eventually(lambda: rollout_column(pair) == f"Aborted {revision}", seconds=10)
        eventually(lambda: len(processes(pair)) == 1, seconds=30, what="the canary's server gone")
        some(traffic.outcomes)
    assert failures(traffic.outcomes) == []
    assert {pod["metadata"]["uid"] for pod in pair.pods()} == before
    assert status(pair)["stableRevision"] == stable
    told = pair.wait_condition("chat", "Progressing", "CanaryAborted")
    assert revision in told["message"]
    found = pair.find()
    assert found is not None
    assert found["metadata"]["generation"] == generation
    assert "has no canary" in refused_order(pair, "promote")
    assert "there: chat" in refused_order(pair, "abort", "absent")
    pair.patch(model=pair.models.tiny.source)
    pair.wait_ready()


def temperatures(stage: Stage, number: int) -> Counter[float]:
    """How often requests were answered with which temperature."""
    return Counter(
        round(stage.ask(path="/endpoints/chat/completion")["generation_settings"]["temperature"], 3)
        for _ in range(number)
    )


def test_a_canary_of_sampling_starts_no_server(pair: Stage) -> None:
    before = {pod["metadata"]["uid"] for pod in pair.pods()}
    pair.patch(presetRef={"name": "lively"})
    revision = wait_weight(pair, 10)
    eventually(lambda: LIVELY in temperatures(pair, 20), seconds=10, what="the first answer of it")
    answered = temperatures(pair, REQUESTS)
    note(f"{answered[LIVELY]} of {REQUESTS} requests at 10%")
    assert set(answered) == {CALM, LIVELY}
    assert 0.04 <= answered[LIVELY] / REQUESTS <= 0.18
    assert len(processes(pair)) == 1
    order(pair, "promote")
    pair.wait_ready()
    eventually(lambda: set(temperatures(pair, 20)) == {LIVELY}, seconds=10)
    assert status(pair)["stableRevision"] == revision
    assert {pod["metadata"]["uid"] for pod in pair.pods()} == before


def test_a_canary_in_time_goes_on_though_the_operator_was_away(pair: Stage) -> None:
    steps = ({"weight": 10, "holdSeconds": 2}, {"weight": 50, "holdSeconds": 2})
    pair.patch(rollout=canary(*steps))
    pair.wait_ready()
    with steady(Load(pair.url, plain=2, streams=1, pause=0.02)) as traffic:
        some(traffic.outcomes)
        pair.patch(model=pair.models.other.source)
        revision = wait_weight(pair, 10)
        kill_operator(pair.cluster)
        some(traffic.outcomes, 20)
        start_operator(pair.cluster)
        assert wait_weight(pair, 50) == revision
        assert sorted(processes(pair).values()) == [2, 2]
        kill_operator(pair.cluster)
        start_operator(pair.cluster)
        pair.wait_ready()
    assert failures(traffic.outcomes) == []
    assert status(pair)["stableRevision"] == revision

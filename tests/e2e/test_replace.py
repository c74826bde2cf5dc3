"""Replace on a node that has room for one server: what it says before, and what clients notice."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise

import pytest

from tests.cluster import eventually
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, condition
from tests.e2e.stage import Stage
from tests.e2e.traffic import Load, Outcome, Traffic, failures, steady

pytestmark = pytest.mark.e2e

QUEUE_SECONDS = 60
SERVER = {"slots": 1, "contextLength": 2048}


@pytest.fixture
def only(stage: Stage) -> Stage:
    """Endpoint `chat` with a server beside which the node has no room for another."""
    nodes = json.loads(stage.kubectl("get", "nodes", "-o", "json"))["items"]
    cores = max(float(node["status"]["allocatable"]["cpu"]) for node in nodes)
    stage.apply(
        stage.preset("one-slot", server=SERVER),
        stage.endpoint(
            preset="one-slot",
            rollout={"strategy": "Replace"},
            routing={"queue": {"timeoutSeconds": QUEUE_SECONDS}},
            resources={"requests": {"cpu": f"{round(cores * 600)}m"}},
        ),
    )
    stage.wait_ready()
    return stage


def replacement(stage: Stage) -> Manifest:
    found = stage.find()
    assert found is not None
    told: Manifest = found["status"].get("replacement", {})
    return told


def events(stage: Stage, reason: str) -> list[str]:
    found = json.loads(stage.kubectl("get", "events", "-o", "json"))["items"]
    return [event["message"] for event in found if event["reason"] == reason]


def some(traffic: Traffic, count: int = 5) -> None:
    """Wait for more good answers."""
    before = traffic.count(lambda outcome: outcome.good)
    eventually(lambda: traffic.count(lambda outcome: outcome.good) >= before + count, seconds=60)


def test_the_queue_holds_and_the_gap_is_told(only: Stage) -> None:
    old = {pod["metadata"]["uid"] for pod in only.pods()}
    said: list[str] = []
    running: list[bool] = []

    def taken_over() -> bool:
        message = condition(only.find(), "Progressing").get("message", "")
        if "in a moment" in message and message not in said:
            said.append(message)
            running.append({pod["metadata"]["uid"] for pod in only.pods()} == old)
        return "gapSeconds" in replacement(only)

    with steady(Load(only.url, plain=3, streams=1, stream_tokens=400, pause=0.02)) as traffic:
        some(traffic)
        only.patch(model=only.models.other.source)
        eventually(taken_over, seconds=90, what="the gap")
        some(traffic)
    only.wait_ready()
    found = replacement(only)
    note(f"{said[-1]}")
    note(f"{events(only, 'ReplaceBegan')} {events(only, 'GapMeasured')}")
    note(f"{found}; clients saw {silence(traffic.outcomes):.1f} s without an answer")
    assert failures(traffic.outcomes) == []
    assert said, "nothing was said before"
    assert running == [True] * len(said), "servers ended before it was said what that interrupts"
    assert any("request is under way" in text or "requests are under way" in text for text in said)
    assert found["underWay"] in {0, 1}
    (message,) = events(only, "GapMeasured")
    assert f"no server answered for {float(found['gapSeconds'])} s" in message
    began, ended = (datetime.fromisoformat(found[name]) for name in ("gapBeganAt", "gapEndedAt"))
    assert (ended - began).total_seconds() == pytest.approx(found["gapSeconds"], abs=0.06)
    # What runs when its server ends runs to its end, and a healthy server is not an answer yet.
    assert found["gapSeconds"] - 1 <= silence(traffic.outcomes) < QUEUE_SECONDS
    assert longest_wait(traffic.outcomes) < QUEUE_SECONDS


def silence(outcomes: list[Outcome]) -> float:
    """Longest time in which no answer began and none ended, in seconds.

    With one slot a stream alone keeps all others waiting for as long as it takes.
    """
    times = (time for outcome in outcomes for time in (outcome.headers_at, outcome.ended))
    return max(after - before for before, after in pairwise(sorted(filter(None, times))))


def longest_wait(outcomes: list[Outcome]) -> float:
    """Longest time until an answer began, in seconds."""
    return max(
        outcome.headers_at - outcome.began for outcome in outcomes if outcome.headers_at is not None
    )

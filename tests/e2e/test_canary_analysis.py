"""A canary that is judged by its requests: it takes over, or is gone, and nobody orders it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import httpx
import psutil
import pytest

from puna.endpoint.pod import SERVER as CONTAINER
from puna_router.config import CONTROL_PORT
from tests.cluster import eventually
from tests.e2e.notes import note
from tests.e2e.objects import condition
from tests.e2e.processes import container_process, kill_operator, start_operator
from tests.e2e.stage import Stage
from tests.e2e.test_canary import SERVER, canary, some, status, wait_weight
from tests.e2e.traffic import Load, failures, steady

pytestmark = pytest.mark.e2e

LIMITS: dict[str, Any] = {"minRequests": 30, "maxErrorPercent": 20}
"""What a minute of traffic on two slow cores is enough for."""
STEPS = ({"weight": 50, "holdSeconds": 5},)


@pytest.fixture
def judged(stage: Stage) -> Stage:
    """Endpoint `chat` whose changes are judged."""
    rollout = canary(*STEPS)
    rollout["canary"]["analysis"] = LIMITS
    stage.apply(
        stage.preset("calm", server=SERVER, temperature=0.25, maxTokens=4, forced=True),
        stage.preset("long", server=SERVER, temperature=0.25, maxTokens=120, forced=True),
        stage.preset("lively", server=SERVER, temperature=0.75, maxTokens=4, forced=True),
        stage.endpoint(preset="calm", rollout=rollout),
    )
    stage.wait_ready()
    return stage


def test_a_slow_canary_is_gone_by_itself_and_stays_so(judged: Stage) -> None:
    stable = status(judged)["stableRevision"]
    with steady(Load(judged.url, plain=4, pause=0.02)) as traffic:
        some(traffic.outcomes)
        judged.patch(presetRef={"name": "long"})
        revision = wait_weight(judged, 50)
        told = judged.wait_condition("chat", "Progressing", "CanaryFailed")
        some(traffic.outcomes)
    note(told["message"])
    assert f"revision {revision} failed (" in told["message"]
    assert "allows 130); " in told["message"]
    assert failures(traffic.outcomes) == []
    assert status(judged)["stableRevision"] == stable
    events = {event["reason"] for event in judged.objects.all("Event", judged.namespace)}
    assert "CanaryFailed" in events
    kill_operator(judged.cluster)
    start_operator(judged.cluster)
    assert with_weight(judged) == [stable]


def with_weight(stage: Stage) -> list[str]:
    """Revisions that the router sends requests to."""
    page = stage.read("/endpoints/chat/status")
    return [item["name"] for item in page["revisions"] if item["weight"]]


@contextmanager
def embedding(stage: Stage) -> Iterator[list[tuple[float, int]]]:
    """Clients that ask for vectors without end: when each began, and its status."""
    answers: list[tuple[float, int]] = []
    over = Event()

    def ask() -> None:
        with httpx.Client(base_url=stage.url, timeout=30, trust_env=False) as client:
            while not over.is_set():
                began = time.monotonic()
                answer = client.post("/v1/embeddings", json={"model": "chat", "input": "the sea"})
                answers.append((began, answer.status_code))
                over.wait(0.02)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            yield answers
        finally:
            over.set()
    for each in asking:
        each.result()


def test_a_canary_that_answers_with_errors_is_gone_by_itself(stage: Stage) -> None:
    """The new revision's server does not embed: asked for a vector it answers 501."""
    rollout = canary(*STEPS)
    rollout["canary"]["analysis"] = LIMITS
    vectors = {"mode": "Embedding", "pooling": "mean", "contextLength": 1024}
    stage.apply(
        stage.preset("vectors", server=vectors),
        stage.preset("texts", server=SERVER),
        stage.endpoint(preset="vectors", rollout=rollout),
    )
    stage.wait_ready()
    stable = status(stage)["stableRevision"]
    with embedding(stage) as answers:
        eventually(lambda: len(answers) > 20, seconds=30)
        stage.patch(presetRef={"name": "texts"})
        revision = wait_weight(stage, 50)
        told = stage.wait_condition("chat", "Progressing", "CanaryFailed")
        eventually(lambda: with_weight(stage) == [stable], what="the router to be told")
        time.sleep(0.5)
        gone, asked = time.monotonic(), len(answers)
        eventually(lambda: len(answers) > asked + 30, seconds=30)
    note(told["message"])
    assert f"revision {revision} failed (Errors: " in told["message"]
    assert {answer for _, answer in answers} == {200, 501}
    assert all(began < gone for began, answer in answers if answer == 501)
    assert status(stage)["stableRevision"] == stable


PROMPT = "The sea is"


def test_a_canary_with_a_wrong_golden_answer_gets_no_request(stage: Stage) -> None:
    stage.apply(stage.preset("calm", server=SERVER), stage.endpoint(preset="calm"))
    stage.wait_ready()
    stable = status(stage)["stableRevision"]
    body = {"model": "chat", "prompt": PROMPT, "max_tokens": 8, "temperature": 0, "seed": 0}
    with httpx.Client(base_url=stage.url, timeout=30, trust_env=False) as client:
        answer = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    golden = {"name": "sea", "prompt": PROMPT, "maxTokens": 8, "expected": {"equals": answer}}
    rollout = canary(*STEPS)
    rollout["canary"]["analysis"] = {**LIMITS, "goldenPrompts": [golden]}
    with steady(Load(stage.url, plain=4, pause=0.02)) as traffic:
        some(traffic.outcomes)
        stage.patch(model=stage.models.other.source, rollout=rollout)
        told = stage.wait_condition("chat", "Progressing", "CanaryFailed")
        some(traffic.outcomes)
    note(told["message"])
    assert f"sea: expected an answer equal to {answer.strip()!r}, got " in told["message"]
    assert failures(traffic.outcomes) == []
    assert status(stage)["stableRevision"] == stable
    assert with_weight(stage) == [stable]
    assert revisions_with_requests(stage) == {stable}


def revisions_with_requests(stage: Stage) -> set[str]:
    (router,) = stage.router_pods()
    text = httpx.get(f"http://{router['status']['podIP']}:{CONTROL_PORT}/metrics").text
    return set(
        re.findall(r'^puna_router_requests_total{.*revision="chat-(\w+)"', text, re.MULTILINE)
    )


def test_a_canary_whose_server_ends_again_and_again_is_gone_by_itself(judged: Stage) -> None:
    """It is killed whenever it runs; between its ends it waits longer and longer."""
    stable = status(judged)["stableRevision"]
    own = {**SERVER, "contextLength": 1024}
    judged.apply(judged.preset("fragile", server=own, temperature=0.25, maxTokens=4, forced=True))
    unhurried = canary(*STEPS)
    unhurried["canary"]["analysis"] = {"minRequests": 100_000}
    with steady(Load(judged.url, plain=4, pause=0.02)) as traffic:
        some(traffic.outcomes)
        before = {pod["metadata"]["name"] for pod in judged.pods()}
        judged.patch(presetRef={"name": "fragile"}, rollout=unhurried)
        revision = wait_weight(judged, 50)
        (pod,) = (pod for pod in judged.pods() if pod["metadata"]["name"] not in before)

        def has_failed() -> bool:
            with suppress(psutil.NoSuchProcess, AssertionError):  # away, and waits
                container_process(pod, CONTAINER).kill()
            time.sleep(0.2)
            return bool(condition(judged.find(), "Progressing")["reason"] == "CanaryFailed")

        eventually(has_failed, seconds=120, what="the canary rejected")
        some(traffic.outcomes)
    told = condition(judged.find(), "Progressing")["message"]
    note(told)
    assert f"revision {revision} failed (Crashes: " in told
    assert status(judged)["stableRevision"] == stable
    page = judged.read("/endpoints/chat/status")
    assert [item["name"] for item in page["revisions"] if item["weight"]] == [stable]


def test_a_good_canary_takes_over_by_itself_though_the_operator_is_killed(judged: Stage) -> None:
    with steady(Load(judged.url, plain=4, pause=0.02)) as traffic:
        some(traffic.outcomes)
        judged.patch(presetRef={"name": "lively"})
        revision = wait_weight(judged, 50)
        kill_operator(judged.cluster)
        some(traffic.outcomes, 30)
        start_operator(judged.cluster)
        eventually(
            lambda: status(judged)["stableRevision"] == revision,
            seconds=120,
            what="the canary promoted",
        )
        judged.wait_ready()
    assert failures(traffic.outcomes) == []

"""A canary with golden prompts: no request before the right answers, whatever happens meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.conditions import Condition
from puna.api.llmendpoint_status import Outcome
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.core.plan import Event
from puna.endpoint.effective import resolve
from puna.endpoint.golden import Answer, GoldenReport, GoldenRun
from tests.factories import endpoint, preset, presets
from tests.fake_cluster import FakeCluster
from tests.strategies import MODELS

PROMPTS = [
    {"name": "capital", "prompt": "The capital of France is", "expected": {"contains": "Paris"}},
    {"name": "sum", "prompt": "1 + 1 =", "expected": {"equals": "2"}},
]
RIGHT, WRONG = ("Paris", "2"), ("Rome", "2")


class Model:
    """A model as the operator's asking sees it."""

    def __init__(self, *texts: str, trouble: str | None = None) -> None:
        self.texts, self.trouble = texts, trouble
        self.runs: set[str] = set()

    def __call__(self, run: GoldenRun) -> GoldenReport:
        self.runs.add(run.digest)
        names = (question.prompt.name for question in run.questions)
        answers = tuple(Answer(name, text) for name, text in zip(names, self.texts, strict=False))
        return GoldenReport(run.digest, answers, self.trouble)


def changed(model: Model, *steps: dict[str, int], **analysis: Any) -> FakeCluster:
    """An endpoint whose second model answers like this, before anything is done about it."""
    canary = {
        "steps": list(steps or ({"weight": 10},)),
        "analysis": {"goldenPrompts": PROMPTS} | analysis,
    }
    cluster = FakeCluster(
        endpoint(model=MODELS[0], rollout={"strategy": "Canary", "canary": canary}), answers=model
    )
    cluster.settle()
    assert model.runs == set(), "a first revision is no canary"
    cluster.edit(model=MODELS[1])
    return cluster


def wanted(cluster: FakeCluster) -> str:
    return resolve("chat", cluster.endpoint.spec, cluster.presets).revision


def progressing(cluster: FakeCluster) -> Condition:
    return next(
        item
        for item in cluster.endpoint.status.conditions
        if item.type == ConditionType.PROGRESSING
    )


def live(cluster: FakeCluster, passes: int = 8) -> list[Event]:
    """Let everything happen; no revision but the stable one gets a request before its answers."""
    events: list[Event] = []
    for _ in range(passes):
        events += cluster.reconcile().events
        cluster.run_controllers()
        cluster.remove_ended_pods()
        for name in cluster.pods:
            cluster.set_ready(name)
        cluster.acknowledge("router-1")
    return events


def test_right_answers_let_a_canary_begin() -> None:
    cluster = changed(Model(*RIGHT))
    live(cluster)
    assert cluster.weights()[wanted(cluster)] == 10


def test_until_they_are_there_it_gets_nothing_and_that_is_told() -> None:
    model = Model("Paris")
    cluster = changed(model)
    stable = cluster.endpoint.status.stable_revision
    live(cluster)
    assert cluster.weights() == {stable: 100}
    assert progressing(cluster).reason is Reason.ROLLING_OUT
    assert progressing(cluster).message == (
        f"revision {wanted(cluster)}: 1 of 1 servers are ready; {stable} serves; "
        "GoldenPrompts: 1 of 2 golden prompts are answered"
    )
    made = cluster.plan()
    assert made.requeue_after is not None
    model.texts = RIGHT
    live(cluster)
    assert cluster.weights()[wanted(cluster)] == 10


def test_a_wrong_answer_ends_it_before_its_first_request() -> None:
    cluster = changed(Model(*WRONG))
    stable, first = cluster.endpoint.status.stable_revision, wanted(cluster)
    events = live(cluster)
    assert cluster.weights() == {stable: 100}
    assert len(cluster.deployed()) == 1
    condition = progressing(cluster)
    assert (condition.status, condition.reason) == ("False", Reason.CANARY_FAILED)
    assert "capital: expected an answer containing 'Paris', got 'Rome'" in condition.message
    failed = [event for event in events if event.reason is EventReason.CANARY_FAILED]
    (event,) = failed
    assert condition.message.startswith(event.message)
    outcomes = {item.name: item.outcome for item in cluster.endpoint.status.revisions}
    assert outcomes == {stable: None, first: Outcome.FAILED}
    assert all(item.weight == 0 for _, status in cluster.written if (item := status.canary))
    assert live(cluster) == []


def test_what_cannot_be_asked_stays_where_it_is() -> None:
    model = Model("Paris", trouble="sum: no answer within 120 s")
    cluster = changed(model)
    stable = cluster.endpoint.status.stable_revision
    live(cluster)
    assert cluster.weights() == {stable: 100}
    verdict = cluster.endpoint.status.canary
    assert verdict is not None
    assert verdict.verdict is not None
    assert verdict.verdict.result == "Error"
    assert progressing(cluster).message.endswith("GoldenPrompts: sum: no answer within 120 s")
    cluster.annotate(promote=wanted(cluster))
    live(cluster)
    assert cluster.weights() == {wanted(cluster): 100}


def test_what_cannot_be_asked_for_long_waits_for_people_and_goes_on_by_itself() -> None:
    model = Model("Paris", trouble="sum: no answer within 120 s")
    cluster = changed(model)
    live(cluster)
    assert progressing(cluster).reason is Reason.ROLLING_OUT
    cluster.now += timedelta(seconds=3600)
    live(cluster)
    name, condition = wanted(cluster), progressing(cluster)
    assert (condition.status, condition.reason) == ("False", Reason.CANARY_PAUSED)
    assert condition.message == (
        f"revision {name} gets no request yet and is paused: Error: GoldenPrompts: sum: no answer "
        "within 120 s; it goes on once it passes, or: puna promote chat, puna abort chat"
    )
    model.texts, model.trouble = RIGHT, None
    live(cluster)
    assert cluster.weights()[name] == 10


def test_what_passed_while_a_server_was_away_is_not_asked_again() -> None:
    model = Model("Paris")
    cluster = changed(model)
    stable = cluster.endpoint.status.stable_revision
    live(cluster)
    for name in cluster.pods:
        cluster.set_ready(name, ready=False)
    model.texts = RIGHT
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    model.runs.clear()
    model.texts = WRONG
    live(cluster)
    assert model.runs == set()
    assert cluster.weights()[wanted(cluster)] == 10


def test_other_prompts_are_asked_anew() -> None:
    model = Model("Paris")
    cluster = changed(model)
    live(cluster)
    first = set(model.runs)
    rollout = cluster.endpoint.spec.rollout.to_dict()
    rollout["canary"]["analysis"]["goldenPrompts"] = PROMPTS[:1]
    cluster.edit(rollout=rollout)
    live(cluster)
    assert len(model.runs - first) == 1
    assert cluster.weights()[wanted(cluster)] == 10


def test_a_canary_that_is_meant_again_is_asked_again_before_its_servers_count() -> None:
    model = Model(*WRONG)
    cluster = changed(model)
    failed = wanted(cluster)
    live(cluster)
    cluster.edit(model=MODELS[0])
    live(cluster)
    cluster.edit(model=MODELS[1])
    assert wanted(cluster) == failed
    live(cluster)
    assert failed not in cluster.weights()
    assert progressing(cluster).reason is Reason.CANARY_FAILED
    cluster.edit(model=MODELS[0])
    model.texts = RIGHT
    live(cluster)
    cluster.edit(model=MODELS[1])
    live(cluster)
    assert cluster.weights()[failed] == 10


def test_a_canary_of_sampling_is_asked_on_the_stable_ones_servers_before_it_begins() -> None:
    model = Model(*WRONG)
    cluster = changed(model)
    cluster.edit(model=MODELS[0])
    live(cluster)
    stable = cluster.endpoint.status.stable_revision
    cluster.edit(presetRef={"name": "calm"})
    cluster.presets = presets(preset("calm", sampling={"topK": 1}))
    live(cluster)
    assert cluster.weights() == {stable: 100}
    assert progressing(cluster).reason is Reason.CANARY_FAILED
    assert len(cluster.deployed()) == 1


MOVES = st.lists(
    st.sampled_from(["right", "wrong", "silent", "first", "second", "pass", "pass", "time"]),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_no_revision_gets_a_request_before_its_prompts_have_passed(moves: list[str]) -> None:
    """Whatever models answer, specs mean and passes are made in which order."""
    model = Model()
    cluster = changed(model)
    first = cluster.endpoint.status.stable_revision
    passed = {first}
    for move in moves:
        if move in {"right", "wrong", "silent"}:
            model.texts = {"right": RIGHT, "wrong": WRONG, "silent": ()}[move]
        elif move in {"first", "second"}:
            cluster.edit(model=MODELS[0 if move == "first" else 1])
        elif move == "time":
            cluster.now += timedelta(minutes=1)
        else:
            live(cluster, passes=1)
        if model.texts == RIGHT:
            passed.add(wanted(cluster))
        assert set(cluster.weights()) <= passed

"""A canary with analysis: what it takes to go on, and what becomes of one that does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.reasons import EventReason
from puna.core.plan import Event, ObjectKey, key_of
from puna.endpoint.revision import CANARY_BASELINE
from puna.endpoint.samples import Reading
from puna_router.samples import RevisionSamples
from tests.factories import endpoint, preset, presets
from tests.fake_cluster import FakeCluster
from tests.strategies import MODELS
from tests.unit.endpoint.test_canary_rollout import (
    a_cluster,
    message,
    revision_object,
    wanted,
)
from tests.unit.endpoint.test_judge import served

SECOND = timedelta(seconds=1)
STEPS = ({"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60})
GOOD, SLOW, BROKEN = served(500), served(900, milliseconds=2000), served(100, 60)
LATE = served(900, first_byte=300)
"""Only the first byte of an answer takes longer."""


def a_canary(*steps: dict[str, int], routers: int = 1, **analysis: Any) -> FakeCluster:
    """An endpoint whose canary has just got its first weight."""
    canary = {"steps": list(steps or STEPS), "analysis": analysis}
    spec: dict[str, Any] = {"replicas": 2, "rollout": {"strategy": "Canary", "canary": canary}}
    cluster = FakeCluster(
        endpoint(model=MODELS[0], **spec),
        routers={f"router-{number}": None for number in range(1, routers + 1)},
    )
    cluster.settle()
    for router in cluster.routers:
        count(cluster, router, stable=served(1000, 10))
    cluster.edit(model=MODELS[1])
    cluster.settle()
    return cluster


def count(
    cluster: FakeCluster,
    router: str = "router-1",
    *,
    canary: RevisionSamples | None = None,
    stable: RevisionSamples | None = None,
) -> None:
    """Let a router count requests to the canary and to the stable revision."""
    found = ((wanted(cluster), canary), (cluster.endpoint.status.stable_revision or "", stable))
    fresh = {name: counts for name, counts in found if counts is not None}
    cluster.count(fresh, router=router)


def held(cluster: FakeCluster, seconds: int = 60) -> None:
    cluster.now += timedelta(seconds=seconds)
    cluster.settle()


def result(cluster: FakeCluster) -> str:
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is not None
    return canary.verdict.result


def weights(cluster: FakeCluster) -> list[int]:
    """Shares of the stable revision and of the canary."""
    found = cluster.weights()
    return [
        found.get(name or "", 0)
        for name in (cluster.endpoint.status.stable_revision, wanted(cluster))
    ]


def test_requests_before_the_step_do_not_count() -> None:
    cluster = a_canary()
    assert result(cluster) == "Inconclusive"
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert message(cluster) == (
        f"revision {wanted(cluster)} gets 10% of the requests (step 1 of 2) "
        f"until {canary.hold_until:%FT%TZ} and until it passes (Inconclusive: Errors: "
        "the canary has had 0 requests; minRequests wants 50)"
    )


def a_canary_of_sampling() -> FakeCluster:
    """The same, but stable revision and canary share their Pods."""
    cluster = a_cluster(*STEPS, analysis={})
    count(cluster, stable=served(1000, 10))
    sample(cluster, 0.1)
    return cluster


def sample(cluster: FakeCluster, temperature: float) -> None:
    """Mean a revision that differs by its sampling alone."""
    cluster.presets = presets(preset(sampling={"temperature": temperature}))
    cluster.settle()


def test_a_canary_that_is_tried_again_begins_with_what_it_failed_by_behind_it() -> None:
    cluster = a_canary_of_sampling()
    count(cluster, canary=BROKEN, stable=GOOD)
    cluster.settle()
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")
    cluster.annotate(retry=wanted(cluster))
    cluster.settle()
    assert (weights(cluster), result(cluster)) == ([90, 10], "Inconclusive")
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.settle()
    assert result(cluster) == "Pass"


def test_a_revision_that_comes_back_is_judged_by_its_step_alone() -> None:
    cluster = a_canary_of_sampling()
    first = cluster.endpoint.status.stable_revision
    cluster.annotate(promote=wanted(cluster))
    cluster.settle()
    count(cluster, stable=GOOD)
    sample(cluster, 0.2)
    cluster.annotate(promote=wanted(cluster))
    cluster.settle()
    count(cluster, stable=GOOD)
    cluster.presets = presets(preset())
    cluster.settle()
    assert wanted(cluster) == first
    held(cluster)
    assert (weights(cluster), result(cluster)) == ([90, 10], "Inconclusive")
    assert "the canary has had 0 requests" in message(cluster)


def test_a_crash_between_document_and_label_readmits_no_canary_that_fails() -> None:
    cluster = a_canary_of_sampling()
    stable = cluster.endpoint.status.stable_revision
    count(cluster, canary=BROKEN, stable=GOOD)
    made = cluster.plan()
    for manifest in made.children or ():
        if key_of(manifest) in made.urgent:
            cluster.apply(manifest)
    assert cluster.weights() == {stable: 100}
    cluster.acknowledge("router-1")
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")


def test_a_step_follows_once_its_hold_is_over_and_it_passes() -> None:
    cluster = a_canary()
    held(cluster)
    assert weights(cluster) == [90, 10]
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.settle()
    assert weights(cluster) == [50, 50]
    assert result(cluster) == "Inconclusive"
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.settle()
    assert (weights(cluster), result(cluster)) == ([50, 50], "Pass")
    assert "passes so far" in message(cluster)
    held(cluster)
    assert cluster.weights() == {wanted(cluster): 100}
    assert cluster.condition("Ready") == ("True", "Ready")


@pytest.mark.parametrize(("bad", "metric"), [(SLOW, "Latency"), (LATE, "TTFT"), (BROKEN, "Errors")])
def test_a_canary_that_fails_is_gone_at_once_and_says_by_how_much(
    bad: RevisionSamples, metric: str
) -> None:
    cluster = a_canary()
    stable, before = cluster.endpoint.status.stable_revision, set(cluster.pods)
    count(cluster, canary=bad, stable=GOOD)
    made = cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    assert made.urgent == {ObjectKey("v1", "ConfigMap", "team", "chat-router-config")}
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")
    assert f"failed ({metric}: canary " in message(cluster)
    (event,) = (event for event in made.events if event.type == "Warning")
    assert event.reason is EventReason.CANARY_FAILED
    assert message(cluster).startswith(event.message)
    (failed,) = (item for item in cluster.endpoint.status.revisions if item.outcome)
    assert failed.verdict is not None
    assert failed.verdict in event.message
    cluster.settle()
    assert set(cluster.pods) < before
    assert cluster.endpoint.status.summary.rollout == f"Failed {wanted(cluster)}"
    outcomes = {item.name: item.outcome for item in cluster.endpoint.status.revisions}
    assert outcomes == {stable: None, wanted(cluster): "Failed"}
    annotations = revision_object(cluster, wanted(cluster))["metadata"]["annotations"]
    assert CANARY_BASELINE not in annotations
    cluster.edit(replicas=3)
    cluster.settle()
    assert cluster.weights() == {stable: 100}


def unresolved(cluster: FakeCluster) -> tuple[str, str]:
    """Let the spec name a Preset that is not there; the stable revision and the canary."""
    stable, canary = cluster.endpoint.status.stable_revision or "", wanted(cluster)
    cluster.edit(presets=["gone"])
    cluster.settle()
    assert cluster.condition("ResolvedRefs") == ("False", "PresetNotFound")
    assert cluster.weights() == {stable: 90, canary: 10}
    return stable, canary


def test_while_a_reference_is_missing_a_canary_that_fails_is_gone_all_the_same() -> None:
    cluster = a_canary()
    stable, canary = unresolved(cluster)
    cluster.count({canary: BROKEN, stable: GOOD})
    made = cluster.reconcile()
    assert made.urgent == {ObjectKey("v1", "ConfigMap", "team", "chat-router-config")}
    assert EventReason.CANARY_FAILED in {event.reason for event in made.events}
    assert cluster.weights() == {stable: 100}
    assert cluster.reconcile().events == ()
    cluster.edit(presets=[])
    cluster.settle()
    assert cluster.weights() == {stable: 100}
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")


def test_while_a_reference_is_missing_a_canary_can_be_aborted() -> None:
    cluster = a_canary()
    stable, canary = unresolved(cluster)
    cluster.annotate(abort=canary)
    cluster.settle()
    assert cluster.weights() == {stable: 100}
    assert cluster.endpoint.status.canary is None
    cluster.edit(presets=[])
    cluster.settle()
    assert cluster.condition("Progressing") == ("False", "CanaryAborted")


def test_while_a_reference_is_missing_a_good_canary_keeps_its_share() -> None:
    cluster = a_canary()
    stable, canary = unresolved(cluster)
    cluster.count({canary: GOOD, stable: GOOD})
    held(cluster)
    assert cluster.weights() == {stable: 90, canary: 10}
    assert cluster.endpoint.status.canary is not None
    cluster.edit(presets=[])
    cluster.settle()
    assert cluster.weights() == {stable: 50, canary: 50}


def test_what_is_not_known_in_time_pauses_until_it_passes() -> None:
    cluster = a_canary(deadlineSeconds=100)
    held(cluster, 150)
    assert cluster.condition("Progressing") == ("True", "CanaryRunning")
    held(cluster, 20)
    assert cluster.condition("Progressing") == ("False", "CanaryPaused")
    assert "is paused: Inconclusive: Errors: the canary has had 0 requests" in message(cluster)
    assert "puna promote chat, puna abort chat" in message(cluster)
    assert weights(cluster) == [90, 10]
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.settle()
    assert weights(cluster) == [50, 50]
    assert cluster.condition("Progressing") == ("True", "CanaryRunning")


def test_a_paused_canary_can_be_promoted_and_a_bad_one_too() -> None:
    for samples in (None, BROKEN):
        cluster = a_canary(deadlineSeconds=10)
        held(cluster, 90)
        cluster.annotate(promote=wanted(cluster))
        count(cluster, canary=samples, stable=GOOD)
        cluster.settle()
        assert cluster.weights() == {wanted(cluster): 100}


def test_without_any_router_that_answers_nothing_is_known() -> None:
    cluster = a_canary()
    held(cluster)
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.unreachable.add("router-1")
    cluster.settle()
    assert (result(cluster), weights(cluster)) == ("Inconclusive", [90, 10])
    held(cluster)
    assert (result(cluster), weights(cluster)) == ("Error", [90, 10])
    cluster.unreachable.clear()
    cluster.settle()
    assert weights(cluster) == [50, 50]


def test_what_prometheus_has_against_telling_is_told() -> None:
    cluster = a_canary()
    cluster.unreachable.add("router-1")
    cluster.unread = "Prometheus at http://prometheus does not answer: HTTP 401"
    held(cluster)
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is not None
    (found,) = canary.verdict.metrics
    assert (found.name, found.result, found.message) == ("NoData", "Error", cluster.unread)
    assert weights(cluster) == [90, 10]


def without_readings() -> FakeCluster:
    """A canary that has just got its first weight, and no router tells anything."""
    cluster = a_canary()
    cluster.readings.clear()
    cluster.edit(model=MODELS[2])
    cluster.settle()
    assert weights(cluster) == [90, 10]
    return cluster


def test_of_a_step_that_begins_it_is_no_news_that_nothing_is_known() -> None:
    cluster = without_readings()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is None
    assert not judged(cluster)
    assert cluster.plan().requeue_after == timedelta(seconds=5)
    held(cluster, 61)
    assert result(cluster) == "Error"


def judged(cluster: FakeCluster) -> list[Event]:
    return [event for event in cluster.plan().events if event.reason is EventReason.CANARY_JUDGED]


def test_scrapes_of_before_the_step_are_no_data_and_not_zero() -> None:
    cluster = without_readings()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.started_at is not None
    before = canary.started_at - SECOND
    old = Reading("router-1", before - timedelta(days=1), {}, at=before)
    cluster.readings["router-1"] = old
    held(cluster, 61)
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is not None
    (found,) = canary.verdict.metrics
    assert (found.name, found.result) == ("NoData", "Inconclusive")
    assert "no router has been scraped since the step began" in found.message
    cluster.readings["router-1"] = replace(old, at=cluster.now)
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.reconcile()
    cluster.readings["router-1"] = replace(cluster.readings["router-1"], at=cluster.now + SECOND)
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.settle()
    assert weights(cluster) == [50, 50]


def test_a_look_without_an_answer_pauses_no_canary_that_passes() -> None:
    cluster = a_canary(deadlineSeconds=30)
    count(cluster, canary=GOOD, stable=GOOD)
    cluster.refusing.add("router-1")
    held(cluster, 70)
    assert result(cluster) == "Pass"
    cluster.readings.clear()
    held(cluster, 30)
    assert "is paused" not in message(cluster)


def test_all_routers_count_and_one_that_is_silent_is_missing() -> None:
    cluster = a_canary(routers=2)
    for router in cluster.routers:
        count(cluster, router, canary=served(200), stable=served(900))
    cluster.settle()
    assert result(cluster) == "Pass"
    cluster.unreachable.add("router-2")
    cluster.settle()
    assert result(cluster) == "Inconclusive"


def test_a_router_that_was_rolled_counts_from_its_start() -> None:
    cluster = a_canary()
    cluster.routers = {"router-9": cluster.document()}
    cluster.readings = {}
    count(cluster, "router-9", canary=GOOD, stable=GOOD)
    cluster.readings["router-9"] = replace(cluster.readings["router-9"], started=cluster.now)
    cluster.settle()
    assert result(cluster) == "Pass"


def test_the_whole_weight_is_compared_with_the_step_before() -> None:
    cluster = a_canary({"weight": 50, "holdSeconds": 60}, {"weight": 100, "holdSeconds": 60})
    count(cluster, canary=GOOD, stable=GOOD)
    held(cluster)
    assert weights(cluster) == [0, 100]
    count(cluster, canary=SLOW)
    cluster.settle()
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")


def test_a_canary_without_requests_asks_for_nothing_while_its_weight_is_0() -> None:
    cluster = a_canary({"weight": 0, "holdSeconds": 60}, {"weight": 50})
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is None
    held(cluster)
    assert weights(cluster) == [50, 50]


def test_it_is_looked_at_every_five_seconds_and_told_every_thirty() -> None:
    cluster = a_canary()
    assert cluster.plan().requeue_after == timedelta(seconds=5)
    told = cluster.endpoint.status
    for seconds, same in ((10, True), (30, False)):
        cluster.now += timedelta(seconds=seconds)
        count(cluster, canary=served(1), stable=served(9))
        cluster.reconcile()
        assert (cluster.endpoint.status.canary == told.canary) is same


def test_a_change_of_the_verdict_is_told_once() -> None:
    cluster = a_canary()
    count(cluster, canary=GOOD, stable=GOOD)
    passed = [event for _ in range(3) for event in cluster.reconcile().events]
    assert [event.reason for event in passed] == [EventReason.CANARY_JUDGED]
    assert passed[0].message.startswith(f"revision {wanted(cluster)} at 10%: Pass: Errors: canary ")


SAMPLES = st.sampled_from([GOOD, SLOW, BROKEN, served(3), served(60)])
LOOKS = st.tuples(SAMPLES, SAMPLES, st.integers(0, 90), st.booleans())


@settings(max_examples=40)
@given(st.lists(LOOKS, max_size=8))
def test_whoever_looks_and_whenever_a_weight_rises_on_a_pass_alone(
    looks: list[tuple[RevisionSamples, RevisionSamples, int, bool]],
) -> None:
    cluster = a_canary()
    for canary, stable, seconds, crash in looks:
        before = weights(cluster)[1]
        if cluster.endpoint.status.canary is None:
            return
        count(cluster, canary=canary, stable=stable)
        cluster.now += timedelta(seconds=seconds)
        if crash:
            cluster.reconcile(only=frozenset({0}))
        expected = cluster.plan().status.canary
        again = cluster.plan().status.canary
        assert expected == again
        cluster.reconcile()
        after = weights(cluster)[1]
        status = cluster.endpoint.status
        if after > before and status.canary is not None:
            assert result(cluster) == "Pass"
        if after < before:
            assert cluster.condition("Progressing") == ("False", "CanaryFailed")

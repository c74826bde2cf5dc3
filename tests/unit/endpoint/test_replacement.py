"""Replace of a whole endpoint: said before it begins, measured when it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from puna.api.reasons import EventReason
from puna.api.replacement import ReplacementStatus
from puna.endpoint.observed import RouterObservation
from puna.endpoint.replacement import NOTICE, announced, gap_message, look_at, measured
from puna_router.config import BackendState, EndpointPhase, EndpointState
from tests.factories import NOW, endpoint
from tests.fake_cluster import FakeCluster
from tests.strategies import MODELS

SECOND = timedelta(seconds=1)
OLD, NEW = "aaaaaaaa", "bbbbbbbb"


def a_cluster() -> FakeCluster:
    """An endpoint that serves the first model under Replace, at rest."""
    cluster = FakeCluster(endpoint(model=MODELS[0], rollout={"strategy": "Replace"}))
    cluster.settle()
    return cluster


def message(cluster: FakeCluster, kind: str = "Progressing") -> str:
    return next(item.message for item in cluster.endpoint.status.conditions if item.type == kind)


def replacement(cluster: FakeCluster) -> ReplacementStatus:
    found = cluster.endpoint.status.replacement
    assert found is not None
    return found


def test_it_is_announced_before_a_server_ends() -> None:
    cluster = a_cluster()
    before = dict(cluster.pods)
    stable = cluster.endpoint.status.stable_revision
    cluster.in_flight = 3
    cluster.edit(model=MODELS[1])
    made = cluster.reconcile()
    assert made.requeue_after is not None
    assert made.requeue_after <= SECOND
    cluster.now += NOTICE - SECOND
    cluster.reconcile()
    assert cluster.pods == before
    assert cluster.endpoint.status.stable_revision == stable
    assert cluster.endpoint.status.summary.rollout.startswith("Replace -> ")
    said = message(cluster)
    assert f"takes the place of {stable} in a moment: 3 requests are under way" in said
    assert "what runs after 60 s more is cut off" in said
    assert "requests wait, each up to 60 s (spec.routing.queue)" in said
    assert cluster.condition("Available")[0] == "True"
    cluster.now += SECOND
    events = cluster.reconcile().events
    assert cluster.endpoint.status.stable_revision != stable
    (began,) = [event for event in events if event.reason is EventReason.REPLACE_BEGAN]
    assert "3 requests are under way" in began.message


def test_the_gap_is_measured_and_told_once() -> None:
    cluster = a_cluster()
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    cluster.now += NOTICE
    cluster.reconcile()
    cluster.now += SECOND / 2
    cluster.reconcile()
    gone = cluster.now
    assert replacement(cluster).gap_began_at == gone
    cluster.remove_ended_pods()
    cluster.now += 12 * SECOND
    cluster.reconcile()
    cluster.run_controllers()
    for name in cluster.pods:
        cluster.set_ready(name)
    cluster.unreachable.add("router-1")
    cluster.reconcile()
    # Ready, and no router has a healthy server yet.
    assert replacement(cluster).gap_ended_at is None
    cluster.now += SECOND
    cluster.unreachable.clear()
    cluster.acknowledge("router-1")
    events = cluster.reconcile().events
    found = replacement(cluster)
    assert (found.gap_ended_at, found.gap_seconds) == (cluster.now, 13.0)
    (told,) = [event for event in events if event.reason is EventReason.GAP_MEASURED]
    assert told.message.startswith("no server answered for 13.0 s while revision")
    cluster.settle()
    assert replacement(cluster) == found
    assert not any(event.reason is EventReason.GAP_MEASURED for event in cluster.plan().events)


def test_another_change_is_announced_anew_and_the_way_back_interrupts_nothing() -> None:
    cluster = a_cluster()
    pods = set(cluster.pods)
    for model in (1, 2):
        cluster.edit(model=MODELS[model])
        cluster.reconcile()
        cluster.now += NOTICE - SECOND
        cluster.reconcile()
        assert set(cluster.pods) == pods
    cluster.edit(model=MODELS[0])
    cluster.settle()
    assert set(cluster.pods) == pods
    assert cluster.endpoint.status.replacement is None


def test_sampling_and_servers_that_answer_nobody_are_not_announced() -> None:
    cluster = a_cluster()
    for name in cluster.pods:
        cluster.set_ready(name, ready=False)
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    status = cluster.endpoint.status
    assert (status.replacement, status.summary.rollout) == (None, "Progressing")


def backend(process: str, in_flight: int | None, *, healthy: bool = True) -> BackendState:
    return BackendState(
        address="10.0.0.1", port=1, process=process, healthy=healthy, in_flight=in_flight
    )


def router(*backends: BackendState) -> RouterObservation:
    return RouterObservation(
        "router",
        reachable=True,
        state=EndpointState(phase=EndpointPhase.APPLIED, backends=backends),
    )


def pod(process: str, seconds: int) -> dict[str, Any]:
    """A Pod that took so many seconds to be ready."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": (NOW).isoformat()}
    created = (NOW - seconds * SECOND).isoformat()
    return {
        "metadata": {"creationTimestamp": created, "labels": {"puna.dev/process": process}},
        "status": {"conditions": [ready]},
    }


def test_what_is_under_way_is_the_sum_over_all_routers() -> None:
    seen = look_at((), (router(backend(OLD, 2), backend(OLD, 1)), router(backend(OLD, 4))))
    assert seen.under_way == {OLD: 7}
    assert look_at((), (router(backend(OLD, None)), router(backend(OLD, 4)))).under_way == {}
    silent = RouterObservation("router", reachable=False)
    assert look_at((), (router(backend(OLD, 2)), silent)).under_way == {}


def test_the_gap_is_expected_to_be_as_long_as_the_fastest_start() -> None:
    seen = look_at((pod(OLD, 31), pod(OLD, 12), pod(NEW, 3)), ())
    known = announced(None, revision=NEW, replaces=OLD, process=OLD, servers=seen, now=NOW)
    assert known.expected_gap_seconds == 12
    assert seen.answering == {OLD, NEW}


def test_only_what_a_router_holds_for_healthy_answers() -> None:
    seen = look_at((pod(NEW, 1),), (router(backend(NEW, 0, healthy=False), backend(OLD, 0)),))
    assert seen.answering == {OLD}


@pytest.mark.parametrize(("late", "seconds"), [(2, 20.0), (60, 18.0)])
def test_what_happened_while_no_operator_ran_has_the_time_of_kubernetes(
    late: int, seconds: float
) -> None:
    known = ReplacementStatus(revision=NEW, replaces=OLD, announced_at=NOW, gap_began_at=NOW)
    ready = NOW + 18 * SECOND
    found = measured(
        known,
        gone=True,
        promoted_at=NOW,
        answers=True,
        ready_since=ready,
        now=ready + late * SECOND,
    )
    assert found is not None
    assert found.gap_seconds == seconds
    assert gap_message(found) == (
        f"no server answered for {seconds} s while revision {NEW} took the place of {OLD}"
    )

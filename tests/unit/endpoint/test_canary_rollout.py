"""Canaries of a whole endpoint: what runs, who gets requests and what is told, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.reasons import EventReason
from puna.core.naming import LABEL_OUTCOME, LABEL_PROCESS, LABEL_ROLE
from puna.core.plan import Manifest
from puna.endpoint.effective import resolve
from puna_router.config import ShadowConfig
from tests.factories import endpoint, preset, presets
from tests.fake_cluster import FakeCluster
from tests.strategies import HAPPENINGS, MODELS, Happening, canary_steps, carry_out

BY_HAND = ({"weight": 10},)
LAST_MODEL = {"uri": "https://models.example/last.gguf", "sha256": "f" * 64}
"""One that nothing that happens rolls out, so that nobody has aborted it."""
TIMED = ({"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60})
ORDERS = st.builds(
    Happening,
    st.sampled_from(["promote", "abort", "hold", "hold", "roll out a model"]),
    st.integers(0, 7),
)


def a_cluster(*steps: dict[str, int], replicas: int = 3, **canary: Any) -> FakeCluster:
    """An endpoint that serves the first model, at rest."""
    rollout = {"strategy": "Canary", "canary": {"steps": list(steps or BY_HAND)} | canary}
    cluster = FakeCluster(
        endpoint(
            model=MODELS[0],
            replicas=replicas,
            presetRef={"name": "balanced"},
            rollout=rollout,
        ),
        presets(preset()),
    )
    cluster.settle()
    return cluster


def wanted(cluster: FakeCluster) -> str:
    return resolve("chat", cluster.endpoint.spec, cluster.presets).revision


def servers(cluster: FakeCluster) -> list[int]:
    """Replicas of each Deployment, the stable one's first."""
    stable = cluster.endpoint.status.stable_revision
    processes = {
        item["metadata"]["labels"]["puna.dev/revision"]: item["data"]["process"]
        for item in cluster.of_kind("ControllerRevision")
    }
    found = {
        item["metadata"]["labels"][LABEL_PROCESS]: item["spec"]["replicas"]
        for item in cluster.of_kind("Deployment")
    }
    first = processes[stable or ""]
    return [found.pop(first), *found.values()]


def pods_of(cluster: FakeCluster, process: str) -> set[str]:
    return {
        name
        for name, pod in cluster.pods.items()
        if pod["metadata"]["labels"][LABEL_PROCESS] == process
    }


def message(cluster: FakeCluster, kind: str = "Progressing") -> str:
    return next(item.message for item in cluster.endpoint.status.conditions if item.type == kind)


def promote(cluster: FakeCluster) -> None:
    canary = cluster.endpoint.status.canary
    assert canary is not None
    cluster.annotate(promote=canary.revision)
    cluster.settle()


def copied(cluster: FakeCluster) -> ShadowConfig | None:
    document = cluster.config()
    assert document is not None
    return document.shadow


def abort(cluster: FakeCluster) -> None:
    canary = cluster.endpoint.status.canary
    assert canary is not None
    cluster.annotate(abort=canary.revision)
    cluster.settle()


def revision_object(cluster: FakeCluster, name: str) -> Manifest:
    return next(
        item
        for item in cluster.of_kind("ControllerRevision")
        if item["metadata"]["labels"]["puna.dev/revision"] == name
    )


def test_a_changed_model_gets_its_share_once_its_server_is_ready() -> None:
    cluster = a_cluster()
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    assert cluster.endpoint.status.summary.rollout == f"0% -> {wanted(cluster)}"
    assert message(cluster) == (
        f"revision {wanted(cluster)}: 0 of 1 servers are ready; {stable} serves"
    )
    cluster.settle()
    assert cluster.weights() == {stable: 90, wanted(cluster): 10}
    assert servers(cluster) == [3, 1]


def test_a_canary_by_hand_says_what_it_waits_for() -> None:
    cluster = a_cluster()
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    status = cluster.endpoint.status
    assert status.canary is not None
    assert status.canary.model_dump(exclude={"started_at"}) == {
        "revision": wanted(cluster),
        "weight": 10,
        "step": 1,
        "steps": 1,
        "hold_until": None,
        "verdict": None,
    }
    assert (status.stable_revision, status.summary.rollout) == (
        stable,
        f"10% -> {wanted(cluster)}",
    )
    assert cluster.condition("Progressing") == ("True", "CanaryRunning")
    assert cluster.condition("Ready") == ("False", "CanaryRunning")
    assert cluster.condition("Available") == ("True", "ReplicasReady")
    assert message(cluster) == (
        f"revision {wanted(cluster)} gets 10% of the requests (step 1 of 1) "
        "and waits for promotion: puna promote chat"
    )
    assert cluster.plan().requeue_after is None


def test_a_promoted_canary_gets_all_servers_first_and_restarts_none() -> None:
    cluster = a_cluster()
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    process = revision_object(cluster, wanted(cluster))["data"]["process"]
    first = pods_of(cluster, process)
    cluster.annotate(promote=wanted(cluster))
    cluster.reconcile()
    assert servers(cluster) == [3, 3]
    assert cluster.weights() == {stable: 90, wanted(cluster): 10}
    assert message(cluster).endswith("(step 1 of 1): 1 of 3 servers are ready")
    cluster.settle()
    assert cluster.weights() == {wanted(cluster): 100}
    assert servers(cluster) == [3]
    assert first < pods_of(cluster, process) == set(cluster.pods)
    assert cluster.condition("Ready") == ("True", "Ready")
    assert cluster.endpoint.status.canary is None


def test_an_aborted_canary_is_gone_and_says_so_until_the_spec_means_another() -> None:
    cluster = a_cluster()
    stable, serving = wanted(cluster), set(cluster.pods)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    rejected = wanted(cluster)
    abort(cluster)
    assert cluster.weights() == {stable: 100}
    assert set(cluster.pods) == serving
    assert cluster.endpoint.status.summary.rollout == f"Aborted {rejected}"
    assert cluster.condition("Progressing") == ("False", "CanaryAborted")
    assert cluster.condition("Ready") == ("False", "CanaryAborted")
    assert message(cluster) == (
        f"revision {rejected} was aborted; {stable} serves until the spec, or the Preset that it "
        "names, means another revision; to try it again: puna retry chat"
    )
    outcomes = {item.name: item.outcome for item in cluster.endpoint.status.revisions}
    assert outcomes == {stable: None, rejected: "Aborted"}
    assert revision_object(cluster, rejected)["metadata"]["labels"][LABEL_OUTCOME] == "aborted"
    cluster.edit(replicas=2, routing={"retries": 0})
    cluster.settle()
    assert cluster.weights() == {stable: 100}
    cluster.edit(model=MODELS[2])
    cluster.settle()
    assert cluster.weights() == {stable: 90, wanted(cluster): 10}


def test_a_revision_that_was_aborted_is_tried_again_once_the_spec_comes_back_to_it() -> None:
    cluster = a_cluster()
    cluster.edit(model=MODELS[1])
    cluster.settle()
    abort(cluster)
    for model in (MODELS[0], MODELS[1]):
        cluster.edit(model=model)
        cluster.settle()
    assert cluster.endpoint.status.canary is not None
    assert cluster.endpoint.status.canary.weight == 10
    cluster.annotate(abort=f"{wanted(cluster)}/2")
    cluster.settle()
    assert cluster.endpoint.status.summary.rollout == f"Aborted {wanted(cluster)}"


def test_a_canary_of_sampling_shares_the_pods_and_starts_at_once() -> None:
    cluster = a_cluster()
    stable, before = wanted(cluster), dict(cluster.pods)
    cluster.presets = presets(preset(sampling={"temperature": 0.1}))
    cluster.reconcile()
    assert cluster.weights() == {stable: 90, wanted(cluster): 10}
    cluster.settle()
    assert len(cluster.deployed()) == 1
    promote(cluster)
    assert cluster.weights() == {wanted(cluster): 100}
    assert cluster.pods == before


def test_an_aborted_canary_of_sampling_leaves_the_pods_alone() -> None:
    cluster = a_cluster()
    stable, before = wanted(cluster), dict(cluster.pods)
    cluster.presets = presets(preset(sampling={"temperature": 0.1}))
    cluster.settle()
    abort(cluster)
    assert (cluster.weights(), cluster.pods) == ({stable: 100}, before)


def test_steps_follow_one_another_in_time() -> None:
    cluster = a_cluster(*TIMED)
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.started_at is not None
    assert canary.hold_until == canary.started_at + timedelta(seconds=60)
    assert cluster.plan().requeue_after == canary.hold_until - cluster.now
    assert message(cluster).endswith(f"(step 1 of 2) until {canary.hold_until:%FT%TZ}")
    cluster.now = canary.hold_until
    cluster.settle()
    assert cluster.weights() == {stable: 50, wanted(cluster): 50}
    assert servers(cluster) == [3, 3]
    cluster.live_through()
    assert cluster.weights() == {wanted(cluster): 100}


def test_the_servers_of_a_step_are_waited_for() -> None:
    cluster = a_cluster(*TIMED)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    cluster.now += timedelta(seconds=120)
    cluster.reconcile()
    assert cluster.endpoint.status.canary is not None
    assert cluster.endpoint.status.canary.step == 1
    assert message(cluster).endswith("(step 1 of 2): 1 of 3 servers are ready")
    assert cluster.plan().requeue_after is None


def test_a_life_with_a_canary_is_told_in_events() -> None:
    cluster = a_cluster(*TIMED)
    told: list[tuple[EventReason, str]] = []

    def live() -> None:
        for _ in range(8):
            told.extend((event.reason, event.message) for event in cluster.reconcile().events)
            cluster.run_controllers()
            cluster.remove_ended_pods()
            for name in cluster.pods:
                cluster.set_ready(name)
            cluster.acknowledge("router-1")

    cluster.edit(model=MODELS[1])
    first = wanted(cluster)
    live()
    cluster.now += timedelta(seconds=60)
    live()
    cluster.annotate(abort=first)
    live()
    stable = cluster.endpoint.status.stable_revision
    assert [item for item in told if item[0] is not EventReason.BECAME_UNREADY] == [
        (EventReason.REVISION_CREATED, f"revision {first} of {MODELS[1]['uri']}"),
        (
            EventReason.CANARY_ADVANCED,
            f"revision {first} gets 10% of the requests (step 1 of 2)",
        ),
        (
            EventReason.CANARY_ADVANCED,
            f"revision {first} gets 50% of the requests (step 2 of 2)",
        ),
        (EventReason.CANARY_ABORTED, f"revision {first} was aborted; {stable} serves"),
    ]


def test_a_canary_gets_copies_as_long_as_it_is_one() -> None:
    cluster = a_cluster({"weight": 0})
    rollout = cluster.endpoint.spec.rollout.to_dict()
    cluster.edit(rollout=rollout | {"shadow": {"percent": 5}})
    cluster.settle()
    assert copied(cluster) is None
    cluster.edit(model=MODELS[1])
    cluster.settle()
    assert copied(cluster) == ShadowConfig(revision=wanted(cluster), percent=5)
    abort(cluster)
    assert copied(cluster) is None


def test_a_canary_without_weight_runs_and_gets_nothing() -> None:
    cluster = a_cluster({"weight": 0})
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    config = cluster.config()
    assert config is not None
    shares = {item.name: item.weight for item in config.revisions}
    assert shares == {stable: 100, wanted(cluster): 0}
    assert cluster.endpoint.status.summary.rollout == f"0% -> {wanted(cluster)}"
    promote(cluster)
    assert cluster.weights() == {wanted(cluster): 100}


def test_the_servers_of_a_canary_that_was_aborted_do_not_multiply_while_routers_follow() -> None:
    cluster = a_cluster()
    cluster.edit(model=MODELS[1])
    cluster.settle()
    cluster.annotate(abort=wanted(cluster))
    cluster.reconcile()
    assert servers(cluster) == [3, 1]
    cluster.settle()
    assert servers(cluster) == [3]


def test_a_router_that_is_silent_is_waited_for_after_an_abort() -> None:
    cluster = a_cluster()
    cluster.edit(model=MODELS[1])
    cluster.settle()
    cluster.unreachable.add("router-1")
    cluster.annotate(abort=wanted(cluster))
    cluster.reconcile()
    cluster.now += timedelta(seconds=29)
    cluster.reconcile()
    assert len(cluster.deployed()) == 2
    cluster.now += timedelta(seconds=2)
    cluster.reconcile()
    assert len(cluster.deployed()) == 1


def test_what_was_edited_beside_an_aborted_model_waits_with_it() -> None:
    cluster = a_cluster()
    before = set(cluster.pods)
    cluster.edit(model=MODELS[1], resources={"requests": {"cpu": "2"}})
    cluster.settle()
    abort(cluster)
    assert set(cluster.pods) == before


def test_routing_restarts_nothing_and_makes_no_revision() -> None:
    cluster = a_cluster()
    revision, before = wanted(cluster), dict(cluster.pods)
    digest = cluster.document()
    routing = {"strategy": "RoundRobin", "queue": {"maxDepth": 1}, "keepAliveSeconds": 3}
    studio = {"name": "studio", "url": "https://studio.example"}
    cluster.edit(routing=routing, externalEndpoints=[studio])
    cluster.settle()
    assert (wanted(cluster), cluster.pods) == (revision, before)
    assert len(cluster.of_kind("ControllerRevision")) == 1
    assert cluster.document() != digest
    assert cluster.endpoint.status.routing is not None
    assert cluster.endpoint.status.routing.to_dict() == {
        "strategy": "RoundRobin",
        "queue": {"maxDepth": 1, "timeoutSeconds": 60},
        "healthCheck": {"intervalSeconds": 2, "failureThreshold": 2},
        "retries": 1,
        "idleTimeoutSeconds": 300,
        "keepAliveSeconds": 3,
    }


def assert_shares(cluster: FakeCluster) -> None:
    """All requests go somewhere, and to nobody but the stable and the wanted revision."""
    config = cluster.config()
    if config is None:
        return
    weights = [item.weight for item in config.revisions]
    assert sum(weights) == 100
    assert sum(weight > 0 for weight in weights) <= 2
    assert len({item.name for item in config.revisions}) == len(weights)


def assert_one_stable_one_wanted(cluster: FakeCluster) -> None:
    roles = [
        item["metadata"]["labels"][LABEL_ROLE] for item in cluster.of_kind("ControllerRevision")
    ]
    assert roles.count("stable") == 1
    assert roles.count("candidate") <= 1


@settings(max_examples=120)
@given(canary_steps(), st.lists(HAPPENINGS | ORDERS, max_size=40))
def test_a_canary_ends_whatever_the_order_of_things(
    steps: list[dict[str, int]], happenings: list[Happening]
) -> None:
    cluster = a_cluster(*steps, replicas=2)
    for happening in happenings:
        carry_out(cluster, happening)
        assert_shares(cluster)
        if happening.name.startswith("reconcile"):
            assert_one_stable_one_wanted(cluster)
    cluster.unreachable.clear()
    cluster.live_through()
    if cluster.endpoint.status.canary is not None:
        cluster.annotate(promote=f"{wanted(cluster)}/last")
        cluster.live_through()
    if cluster.condition("Progressing")[1] == "CanaryAborted":
        assert wanted(cluster) not in cluster.weights()
        cluster.edit(model=LAST_MODEL)
        cluster.live_through()
        if cluster.endpoint.status.canary is not None:
            promote(cluster)
    assert cluster.weights() == {wanted(cluster): 100}
    assert cluster.condition("Progressing") == ("True", "Complete")
    assert len(cluster.deployed()) == 1


@settings(max_examples=80)
@given(
    canary_steps(),
    st.lists(
        st.builds(
            Happening,
            st.sampled_from(
                [
                    *("reconcile", "crash", "controllers", "pod ready", "pod unready"),
                    *("acknowledge", "hold", "wait", "pods gone", "scale"),
                ]
            ),
            st.integers(1, 7),
            st.frozensets(st.integers(0, 7)),
        ),
        max_size=40,
    ),
)
def test_the_share_of_a_canary_never_falls_by_itself(
    steps: list[dict[str, int]], happenings: list[Happening]
) -> None:
    cluster = a_cluster(*steps, replicas=2)
    cluster.edit(model=MODELS[1])
    share = 0
    for happening in happenings:
        carry_out(cluster, happening)
        now = cluster.weights().get(wanted(cluster), 0)
        assert now >= share
        share = now


@settings(max_examples=30)
@given(st.lists(HAPPENINGS | ORDERS, max_size=20), st.frozensets(st.integers(0, 9)))
def test_an_operator_that_is_killed_in_the_middle_changes_no_end_state(
    happenings: list[Happening], applied: frozenset[int]
) -> None:
    whole, cut_short = a_cluster(*TIMED, replicas=2), a_cluster(*TIMED, replicas=2)
    for happening in happenings:
        carry_out(whole, happening)
        carry_out(cut_short, happening)
        cut_short.reconcile(only=applied)
    for cluster in (whole, cut_short):
        cluster.unreachable.clear()
        cluster.annotate(promote=None, abort=None)
        cluster.edit(model=LAST_MODEL, replicas=2)
        cluster.live_through()
    assert whole.config() == cut_short.config()


@settings(max_examples=60)
@given(st.lists(HAPPENINGS | ORDERS, max_size=30))
def test_a_plan_carried_out_is_planned_again(happenings: list[Happening]) -> None:
    cluster = a_cluster(*TIMED, replicas=2)
    for happening in happenings:
        carry_out(cluster, happening)
    cluster.reconcile()
    made = cluster.reconcile()
    again = cluster.plan()
    assert (again.children, again.status) == (made.children, cluster.endpoint.status)
    assert again.events == ()


@pytest.mark.parametrize("change", ["image", "limit"])
def test_another_operator_forgets_no_abort(change: str) -> None:
    cluster = a_cluster()
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    cluster.annotate(abort=wanted(cluster))
    cluster.reconcile()
    rejected = wanted(cluster)
    settings_now = cluster.settings
    cluster.settings = (
        replace(settings_now, fetch_image="registry.example/puna:2")
        if change == "image"
        else replace(settings_now, revision_history_limit=0)
    )
    cluster.settle()
    assert cluster.endpoint.status.summary.rollout == f"Aborted {rejected}"

"""Going back to a stored revision, and trying a rejected one again, as annotations order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.reasons import EventReason
from puna.core.naming import LABEL_PROCESS, LABEL_REVISION
from puna.endpoint.effective import resolve
from tests.factories import endpoint, preset, presets
from tests.fake_cluster import FakeCluster
from tests.strategies import HAPPENINGS, MODELS, Happening, carry_out

CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}}


def a_cluster(strategy: str = "Surge", *models: int, **spec: Any) -> FakeCluster:
    """An endpoint that has served some models, at rest with the last one."""
    rollout = CANARY if strategy == "Canary" else {"strategy": strategy}
    members: dict[str, Any] = {"model": MODELS[0], "replicas": 2, "rollout": rollout}
    cluster = FakeCluster(
        endpoint(presetRef={"name": "balanced"}, **members, **spec),
        presets(preset()),
    )
    cluster.settle()
    for model in models:
        change(cluster, model=MODELS[model])
    return cluster


def change(cluster: FakeCluster, **spec: Any) -> None:
    cluster.edit(**spec)
    cluster.settle()
    if cluster.endpoint.status.canary is not None:
        cluster.annotate(promote=meant(cluster))
        cluster.settle()


def meant(cluster: FakeCluster) -> str:
    return resolve("chat", cluster.endpoint.spec, cluster.presets).revision


def stored(cluster: FakeCluster) -> list[str]:
    """Names of the revisions that are stored, the oldest first."""
    found = sorted(cluster.of_kind("ControllerRevision"), key=lambda item: item["revision"])
    return [item["metadata"]["labels"][LABEL_REVISION] for item in found]


def go_back(cluster: FakeCluster, to: str, *, nonce: str = "") -> None:
    cluster.annotate(rollback=f"{to}/{meant(cluster)}{nonce}")


def message(cluster: FakeCluster, kind: str = "Progressing") -> str:
    return next(item.message for item in cluster.endpoint.status.conditions if item.type == kind)


def events(cluster: FakeCluster) -> list[str]:
    return [str(event.reason) for event in cluster.reconcile().events]


@pytest.mark.parametrize("strategy", ["Surge", "Canary"])
def test_an_older_revision_takes_over_with_all_servers_and_without_steps(strategy: str) -> None:
    cluster = a_cluster(strategy, 1, 2)
    oldest, _, newest = stored(cluster)
    go_back(cluster, oldest)
    assert EventReason.ROLLED_BACK in events(cluster)
    assert cluster.weights() == {newest: 100}
    assert cluster.endpoint.status.summary.rollout == f"Rollback -> {oldest}"
    assert cluster.condition("Progressing") == ("True", "RollingOut")
    cluster.run_controllers()
    assert [item["spec"]["replicas"] for item in cluster.of_kind("Deployment")] == [2, 2]
    cluster.settle()
    assert cluster.weights() == {oldest: 100}
    assert len(cluster.deployed()) == 1


def test_a_rollback_in_force_is_told_with_the_way_out() -> None:
    cluster = a_cluster("Surge", 1)
    old, new = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    status = cluster.endpoint.status
    assert status.rollback is not None
    assert (status.rollback.revision, status.rollback.instead_of) == (old, new)
    assert status.stable_revision == old
    assert status.summary.rollout == f"Rolled back to {old}"
    assert cluster.condition("Available") == ("True", "ReplicasReady")
    for kind in ("Progressing", "Ready"):
        assert cluster.condition(kind) == ("False", "RolledBack")
    assert message(cluster) == (
        f"revision {old} serves instead of {new}, as annotation puna.dev/rollback orders, until "
        "the spec means another revision; to take the order back: puna rollback chat --undo"
    )
    assert cluster.plan().requeue_after is None


def test_an_order_that_is_taken_back_lets_the_spec_count_again() -> None:
    cluster = a_cluster("Surge", 1)
    old, new = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    cluster.annotate(rollback=None)
    assert EventReason.ROLLBACK_ENDED in events(cluster)
    cluster.settle()
    assert cluster.weights() == {new: 100}
    assert cluster.condition("Ready") == ("True", "Ready")


def test_under_canary_what_the_spec_means_comes_back_by_its_steps() -> None:
    cluster = a_cluster("Canary", 1)
    old, new = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    cluster.annotate(rollback=None, promote=None)
    cluster.settle()
    assert cluster.weights() == {old: 90, new: 10}


def test_under_replace_the_present_pods_end_first() -> None:
    cluster = a_cluster("Replace", 1)
    old, _ = stored(cluster)
    go_back(cluster, old)
    cluster.reconcile()
    cluster.run_controllers()
    cluster.reconcile()
    running = {pod["metadata"]["labels"][LABEL_PROCESS] for pod in cluster.pods.values()}
    assert len(running) == 1
    cluster.settle()
    assert cluster.weights() == {old: 100}
    assert cluster.condition("Ready") == ("False", "RolledBack")


def test_going_back_in_sampling_starts_no_server() -> None:
    cluster = a_cluster()
    cluster.presets = presets(preset(sampling={"temperature": 1}))
    cluster.settle()
    old, _ = stored(cluster)
    pods = set(cluster.pods)
    go_back(cluster, old)
    cluster.reconcile()
    assert cluster.weights() == {old: 100}
    cluster.settle()
    assert set(cluster.pods) == pods


def test_going_back_to_the_stable_revision_ends_a_canary_at_once() -> None:
    cluster = a_cluster("Canary")
    cluster.edit(model=MODELS[1])
    cluster.settle()
    stable = cluster.endpoint.status.stable_revision or ""
    go_back(cluster, stable)
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    cluster.settle()
    assert cluster.condition("Ready") == ("False", "RolledBack")
    assert len(cluster.deployed()) == 1


def test_a_spec_that_means_another_revision_ends_the_rollback_for_good() -> None:
    cluster = a_cluster("Surge", 1)
    old, new = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    change(cluster, model=MODELS[2])
    assert cluster.weights() == {meant(cluster): 100}
    assert cluster.condition("Ready") == ("True", "Ready")
    change(cluster, model=MODELS[1])
    assert cluster.weights() == {new: 100}, "the order is an old one now"
    go_back(cluster, old, nonce="/2")
    cluster.settle()
    assert cluster.weights() == {old: 100}


def test_scaling_does_not_end_a_rollback() -> None:
    cluster = a_cluster("Surge", 1)
    old, _ = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    change(cluster, replicas=3, routing={"retries": 0})
    assert cluster.weights() == {old: 100}
    assert cluster.endpoint.status.summary.ready == "3/3"


@pytest.mark.parametrize("limit", [0, 1])
def test_what_the_spec_means_is_kept_however_few_revisions_are(limit: int) -> None:
    cluster = a_cluster("Surge", 1, 2)
    oldest, _, newest = stored(cluster)
    go_back(cluster, oldest)
    cluster.settle()
    change(cluster, revisionHistoryLimit=limit)
    assert stored(cluster) == [oldest, newest]
    assert cluster.weights() == {oldest: 100}


def test_a_deleted_revision_that_the_spec_means_changes_nothing() -> None:
    cluster = a_cluster("Surge", 1)
    old, new = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    (key,) = [
        key
        for key, item in cluster.objects.items()
        if key.kind == "ControllerRevision" and item["metadata"]["labels"][LABEL_REVISION] == new
    ]
    cluster.delete(key)
    cluster.settle()
    assert cluster.weights() == {old: 100}


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_endpoint_says_how_many_revisions_are_kept(limit: int) -> None:
    cluster = a_cluster("Surge", 1, 2, 3, revisionHistoryLimit=limit)
    assert len(stored(cluster)) == 1 + limit


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("deadbeef/{meant}", "there is no revision deadbeef to go back to"),
        ("{meant}/{meant}", "there is no revision {meant} to go back to"),
        ("{old}", "'{old}' is not <to>/<from>, two revisions"),
        ("{old}/", "'{old}/' is not <to>/<from>, two revisions"),
        ("", "'' is not <to>/<from>, two revisions"),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_so(order: str, why: str) -> None:
    cluster = a_cluster("Surge", 1)
    old, new = stored(cluster)
    names = {"old": old, "meant": new}
    cluster.annotate(rollback=order.format(**names))
    cluster.settle()
    assert cluster.condition("ResolvedRefs") == ("False", "InvalidOrder")
    assert message(cluster, "ResolvedRefs") == (
        f"annotation puna.dev/rollback: {why.format(**names)} (stored besides {new}, which the "
        f"spec means: {old}); correct the annotation or remove it"
    )
    assert cluster.condition("Ready") == ("False", "InvalidOrder")
    assert cluster.weights() == {new: 100}
    cluster.edit(replicas=3)
    cluster.settle()
    assert cluster.endpoint.status.summary.ready == "3/3"


def test_an_order_about_another_revision_is_silent() -> None:
    cluster = a_cluster("Surge", 1)
    old, _ = stored(cluster)
    cluster.annotate(rollback=f"{old}/deadbeef")
    cluster.settle()
    assert cluster.condition("Ready") == ("True", "Ready")


def test_a_rollback_survives_a_spec_that_cannot_be_carried_out() -> None:
    cluster = a_cluster("Surge", 1)
    old, _ = stored(cluster)
    go_back(cluster, old)
    cluster.settle()
    there = cluster.presets
    cluster.presets = {}
    assert EventReason.ROLLBACK_ENDED not in events(cluster)
    assert cluster.endpoint.status.rollback is not None
    cluster.presets = there
    cluster.settle()
    assert cluster.weights() == {old: 100}


def rejected(cluster: FakeCluster) -> str:
    """Abort a canary of the second model."""
    cluster.edit(model=MODELS[1])
    cluster.settle()
    cluster.annotate(abort=meant(cluster))
    cluster.settle()
    assert cluster.condition("Progressing") == ("False", "CanaryAborted")
    return meant(cluster)


def test_an_aborted_revision_is_tried_again_when_ordered_and_only_once() -> None:
    cluster = a_cluster("Canary")
    stable = meant(cluster)
    name = rejected(cluster)
    cluster.annotate(retry=name)
    assert EventReason.CANARY_RETRIED in events(cluster)
    cluster.settle()
    assert cluster.weights() == {stable: 90, name: 10}
    cluster.annotate(abort=f"{name}/2")
    cluster.settle()
    assert cluster.weights() == {stable: 100}
    assert cluster.condition("Progressing") == ("False", "CanaryAborted")
    cluster.annotate(retry=f"{name}/2")
    cluster.settle()
    assert cluster.weights() == {stable: 90, name: 10}


def test_an_order_to_retry_that_was_there_before_does_not_count() -> None:
    cluster = a_cluster("Canary")
    stable = meant(cluster)
    coming = resolve("chat", endpoint(model=MODELS[1]).spec, {}).revision
    cluster.annotate(retry=coming)
    assert rejected(cluster) == coming
    cluster.settle()
    assert cluster.weights() == {stable: 100}


def test_a_rejected_revision_stays_rejected_through_a_rollback() -> None:
    cluster = a_cluster("Canary", 2)
    older = stored(cluster)[0]
    stable = meant(cluster)
    name = rejected(cluster)
    go_back(cluster, older)
    cluster.settle()
    assert cluster.weights() == {older: 100}
    cluster.annotate(rollback=None)
    cluster.settle()
    assert cluster.weights() == {older: 100}
    assert cluster.condition("Progressing") == ("False", "CanaryAborted")
    cluster.annotate(retry=name)
    cluster.settle()
    assert cluster.weights() == {older: 90, name: 10}
    assert stable not in cluster.weights()


ORDERS = st.builds(
    Happening,
    st.sampled_from(["promote", "abort", "retry", "roll back", "roll back", "no rollback"]),
    st.integers(0, 7),
)


@settings(max_examples=100)
@given(
    st.sampled_from(["Surge", "Canary", "Replace"]),
    st.lists(HAPPENINGS | ORDERS, max_size=35),
)
def test_whatever_is_ordered_somebody_serves_and_the_last_order_counts(
    strategy: str, happenings: list[Happening]
) -> None:
    cluster = a_cluster(strategy, 1)
    for happening in happenings:
        carry_out(cluster, happening)
        config = cluster.config()
        assert config is not None
        assert sum(item.weight for item in config.revisions) == 100
        candidates = [
            item for item in cluster.endpoint.status.revisions if item.role == "Candidate"
        ]
        assert sum(item.outcome is None for item in candidates) <= 1
    cluster.unreachable.clear()
    cluster.live_through()
    others = [name for name in stored(cluster) if name != meant(cluster)]
    if others:
        go_back(cluster, others[0], nonce="/last")
        cluster.live_through()
        assert cluster.weights() == {others[0]: 100}
        assert cluster.condition("Progressing") == ("False", "RolledBack")
        assert len(cluster.deployed()) == 1
    cluster.annotate(rollback=None, retry=f"{meant(cluster)}/last")
    cluster.live_through()
    if cluster.endpoint.status.canary is not None:
        cluster.annotate(promote=f"{meant(cluster)}/last")
        cluster.live_through()
    assert cluster.weights() == {meant(cluster): 100}
    assert cluster.condition("Progressing") == ("True", "Complete")


@settings(max_examples=40)
@given(
    st.sampled_from(["Surge", "Canary"]),
    st.lists(HAPPENINGS | ORDERS, max_size=20),
    st.frozensets(st.integers(0, 9)),
)
def test_an_operator_that_is_killed_in_the_middle_of_a_rollback_changes_no_end_state(
    strategy: str, happenings: list[Happening], applied: frozenset[int]
) -> None:
    cluster = a_cluster(strategy, 1)
    for happening in happenings:
        carry_out(cluster, happening)
    cluster.unreachable.clear()
    cluster.live_through()
    others = [name for name in stored(cluster) if name != meant(cluster)]
    if not others:
        return
    go_back(cluster, others[-1], nonce="/last")
    for _ in range(3):
        cluster.reconcile(only=applied)
        cluster.run_controllers()
    cluster.settings = replace(cluster.settings, fetch_image="registry.example/puna:2")
    cluster.live_through()
    assert cluster.weights() == {others[-1]: 100}

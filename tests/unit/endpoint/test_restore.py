"""Revisions whose ControllerRevisions were deleted are restored, and no Pod is restarted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.llmendpoint_status import LLMEndpointStatus, RevisionRole
from puna.core.naming import LABEL_REVISION
from puna.core.plan import Manifest, ObjectKey
from puna.endpoint.effective import resolve
from puna.endpoint.restore import CARRIED, MOST_CARRIED, carried_revisions, known_revisions
from tests.factories import deployment, endpoint, preset, presets, revision
from tests.fake_cluster import FakeCluster
from tests.strategies import HAPPENINGS, MODELS, Happening, carry_out

STEPS = [{"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60}, {"weight": 60}]
CANARY = {"strategy": "Canary", "canary": {"steps": STEPS}}


def a_cluster(*, strategy: str = "Surge", replicas: int = 2) -> FakeCluster:
    """An endpoint that serves the first model, at rest."""
    rollout = CANARY if strategy == "Canary" else {"strategy": strategy}
    cluster = FakeCluster(
        endpoint(
            model=MODELS[0], replicas=replicas, presetRef={"name": "balanced"}, rollout=rollout
        ),
        presets(preset()),
    )
    cluster.settle()
    return cluster


def wanted(cluster: FakeCluster) -> str:
    return resolve("chat", cluster.endpoint.spec, cluster.presets).revision


def revisions(cluster: FakeCluster) -> dict[str, ObjectKey]:
    return {
        item["metadata"]["labels"][LABEL_REVISION]: key
        for key, item in cluster.objects.items()
        if item["kind"] == "ControllerRevision"
    }


def forget(cluster: FakeCluster, *names: str) -> None:
    """Delete ControllerRevisions, as a user would."""
    for name in names:
        cluster.delete(revisions(cluster)[name])


def data(cluster: FakeCluster) -> dict[str, Manifest]:
    return {name: cluster.objects[key]["data"] for name, key in revisions(cluster).items()}


def roles(cluster: FakeCluster) -> dict[str, str]:
    return {
        name: cluster.objects[key]["metadata"]["labels"]["puna.dev/role"]
        for name, key in revisions(cluster).items()
    }


def templates(cluster: FakeCluster) -> dict[str, Manifest]:
    return {
        item["metadata"]["name"]: item["spec"]["template"] for item in cluster.of_kind("Deployment")
    }


def upgrade(cluster: FakeCluster) -> None:
    """Let another operator take over, which would render another Pod."""
    cluster.settings = replace(
        cluster.settings,
        fetch_image="registry.example/puna:2",
        termination_grace_seconds=5,
        accelerators={
            accelerator: replace(profile, image="registry.example/llama-server:2")
            for accelerator, profile in cluster.settings.accelerators.items()
        },
    )


def empty_status(cluster: FakeCluster) -> None:
    update = {"status": LLMEndpointStatus()}
    cluster.endpoint = cluster.endpoint.model_copy(update=update)


@pytest.mark.parametrize("upgraded", [False, True])
@pytest.mark.parametrize("without_status", [False, True])
def test_a_stable_revision_is_restored_and_no_pod_restarts(
    *, upgraded: bool, without_status: bool
) -> None:
    cluster = a_cluster()
    pods, stored, rendered = set(cluster.pods), data(cluster), templates(cluster)
    forget(cluster, wanted(cluster))
    if upgraded:
        upgrade(cluster)
    if without_status:
        empty_status(cluster)
    cluster.reconcile()
    assert data(cluster) == stored
    assert roles(cluster) == {wanted(cluster): "stable"}
    cluster.settle()
    assert (set(cluster.pods), templates(cluster)) == (pods, rendered)
    assert cluster.condition("Ready") == ("True", "Ready")


@pytest.mark.parametrize("strategy", ["Surge", "Canary"])
@pytest.mark.parametrize("upgraded", [False, True])
def test_it_is_restored_in_the_middle_of_a_rollout(*, strategy: str, upgraded: bool) -> None:
    cluster = a_cluster(strategy=strategy)
    stable, pods, stored = wanted(cluster), set(cluster.pods), data(cluster)
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    forget(cluster, stable)
    if upgraded:
        upgrade(cluster)
    empty_status(cluster)
    cluster.reconcile()
    cluster.reconcile()  # of a candidate that never served, another operator makes another one
    assert stored.items() <= data(cluster).items()
    assert roles(cluster) == {stable: "stable", wanted(cluster): "candidate"}
    assert cluster.weights() == {stable: 100}
    assert pods <= {
        name for name, pod in cluster.pods.items() if "deletionTimestamp" not in pod["metadata"]
    }


def test_with_both_revisions_gone_a_canary_keeps_its_share_and_its_pods() -> None:
    cluster = a_cluster(strategy="Canary")
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.settle()
    assert cluster.endpoint.status.canary is not None
    cluster.now = cluster.endpoint.status.canary.hold_until or cluster.now
    cluster.settle()
    shares, pods = cluster.weights(), set(cluster.pods)
    assert shares == {stable: 50, wanted(cluster): 50}
    forget(cluster, stable, wanted(cluster))
    upgrade(cluster)
    empty_status(cluster)
    cluster.reconcile()
    assert roles(cluster) == {stable: "stable", wanted(cluster): "candidate"}
    cluster.settle()
    assert (cluster.weights(), set(cluster.pods)) == (shares, pods)
    cluster.live_through()
    cluster.annotate(promote=wanted(cluster))
    cluster.live_through()
    assert cluster.weights() == {wanted(cluster): 100}


def test_an_order_that_was_there_before_is_not_meant_for_a_restored_canary() -> None:
    cluster = a_cluster(strategy="Canary")
    cluster.edit(model=MODELS[1])
    cluster.annotate(abort=wanted(cluster))
    cluster.settle()
    shares = cluster.weights()
    assert shares[wanted(cluster)] == 10
    forget(cluster, wanted(cluster))
    cluster.settle()
    assert cluster.weights() == shares


def test_revisions_that_share_their_pods_are_restored_each_with_its_sampling() -> None:
    cluster = a_cluster(strategy="Canary")
    stable, pods = wanted(cluster), set(cluster.pods)
    cluster.presets = presets(preset(sampling={"temperature": 1}))
    cluster.settle()
    stored, shares = data(cluster), cluster.weights()
    assert shares == {stable: 90, wanted(cluster): 10}
    forget(cluster, stable, wanted(cluster))
    upgrade(cluster)
    cluster.settle()
    assert (data(cluster), cluster.weights(), set(cluster.pods)) == (stored, shares, pods)


def test_without_the_routers_document_the_older_one_counts_as_stable() -> None:
    cluster = a_cluster()
    stable = wanted(cluster)
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    forget(cluster, stable, wanted(cluster))
    for key in [key for key in cluster.objects if key.kind == "ConfigMap"]:
        cluster.delete(key)
    cluster.reconcile()
    assert roles(cluster) == {stable: "stable", wanted(cluster): "candidate"}


def test_a_retired_revision_that_was_pruned_does_not_come_back() -> None:
    cluster = a_cluster()
    cluster.settings = replace(cluster.settings, revision_history_limit=0)
    cluster.presets = presets(preset(sampling={"temperature": 1}))
    cluster.settle()
    assert list(roles(cluster)) == [wanted(cluster)]


def test_a_revision_that_never_served_is_rendered_anew() -> None:
    cluster = FakeCluster(endpoint(model=MODELS[0]))
    cluster.reconcile()
    forget(cluster, wanted(cluster))
    upgrade(cluster)
    cluster.settle()
    (stored,) = data(cluster).values()
    assert stored["accelerators"]["cpu"]["image"] == "registry.example/llama-server:2"
    assert cluster.condition("Ready") == ("True", "Ready")


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", "[1]", '[{"name": "8f3a12cd"}]', '[{"name": "x", "data": {}}]']
)
def test_what_cannot_be_read_counts_as_not_there(text: str) -> None:
    live = deployment("8f3a12cd", annotations={CARRIED: text})
    assert known_revisions([live]) == ()


def test_what_would_not_fit_is_left_out_and_the_first_goes_first() -> None:
    long = "\N{ROCKET}" * 16_000
    first, *others = [
        revision(endpoint(presetRef={"name": "balanced"}), preset(prompt={"system": long + text}))
        for text in "abcd"
    ]
    text = carried_revisions([first, *others], next_number=1)
    assert len(text.encode()) <= MOST_CARRIED
    carried = known_revisions([deployment(first.process, annotations={CARRIED: text})])
    assert first.name in {item.name for item in carried}
    assert 1 <= len(carried) < 4


def test_what_is_carried_reads_the_same_before_and_after_it_was_stored() -> None:
    sampled = revision(
        endpoint(presetRef={"name": "balanced"}), preset(sampling={"temperature": 1.0})
    )
    fresh = carried_revisions([sampled], next_number=3)
    stored = sampled.data.to_dict()
    stored["sampling"]["temperature"] = 1
    again = replace(sampled, number=3, raw=dict(reversed(stored.items())))
    assert carried_revisions([again], next_number=9) == fresh


def test_a_stored_revision_counts_more_than_what_is_carried() -> None:
    cluster = a_cluster()
    known = known_revisions(cluster.objects.values())
    assert [(item.role, item.lost) for item in known] == [(RevisionRole.STABLE, False)]


def serving(cluster: FakeCluster) -> set[str]:
    return {
        name
        for name, pod in cluster.pods.items()
        if "deletionTimestamp" not in pod["metadata"]
        and pod["status"]["conditions"][0]["status"] == "True"
    }


@settings(max_examples=80)
@given(
    strategy=st.sampled_from(["Surge", "Canary"]),
    happenings=st.lists(HAPPENINGS, max_size=25),
    deleted=st.frozensets(st.integers(0, 3), min_size=1),
    upgraded=st.booleans(),
)
def test_whenever_revisions_are_deleted_nothing_that_serves_is_restarted(
    strategy: str, happenings: list[Happening], deleted: Iterable[int], *, upgraded: bool
) -> None:
    cluster = a_cluster(strategy=strategy)
    for happening in happenings:
        carry_out(cluster, happening)
    cluster.reconcile()
    cluster.run_controllers()
    cluster.reconcile()
    before, weights = templates(cluster), cluster.weights()
    running = [
        name
        for name, key in sorted(revisions(cluster).items())
        if cluster.objects[key]["data"]["process"] in cluster.deployed()
    ]
    chosen = {running[number % len(running)] for number in deleted}
    forget(cluster, *chosen)
    if upgraded:
        upgrade(cluster)
    empty_status(cluster)
    cluster.reconcile()
    after = templates(cluster)
    for name in serving(cluster):
        owner = next(item for item in before if name.startswith(item))
        assert after.get(owner) == before[owner]
    assert cluster.weights().keys() >= {
        name for name, weight in weights.items() if weight > 50
    } or not serving(cluster)
    cluster.unreachable.clear()
    cluster.live_through()
    if cluster.endpoint.status.canary is not None:
        cluster.annotate(promote=f"{wanted(cluster)}/last")
        cluster.live_through()
    assert cluster.weights() == {wanted(cluster): 100}
    assert cluster.condition("Progressing") == ("True", "Complete")

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.core.naming import LABEL_PROCESS, LABEL_REVISION, LABEL_ROLE
from puna.endpoint.effective import resolve
from puna_router.config import EndpointConfig
from tests.factories import endpoint, preset, presets
from tests.fake_cluster import FakeCluster
from tests.strategies import HAPPENINGS, MODELS, Happening, carry_out

STRATEGY_CHANGES = st.builds(Happening, st.sampled_from(["replace", "surge"]))


def a_cluster(strategy: str = "Surge", *, routers: int = 2) -> FakeCluster:
    return FakeCluster(
        endpoint(
            model=MODELS[0],
            replicas=2,
            presetRef={"name": "balanced"},
            rollout={"strategy": strategy},
        ),
        presets(preset()),
        routers={f"router-{number}": None for number in range(routers)},
    )


def processes_with_requests(cluster: FakeCluster) -> set[str]:
    """Processes to which a router that answers sends requests."""
    return {
        revision.process
        for name, document in cluster.routers.items()
        if document is not None and name not in cluster.unreachable
        for revision in EndpointConfig.model_validate_json(document).revisions
        if revision.weight == 100
    }


def assert_one_revision_has_all_weight(cluster: FakeCluster) -> None:
    config = cluster.config()
    if config is not None:
        assert [item.weight for item in config.revisions if item.weight] == [100]


def assert_what_runs_is_stored(cluster: FakeCluster) -> None:
    stored = {
        item["metadata"]["labels"][LABEL_REVISION]: item["data"]["process"]
        for item in cluster.of_kind("ControllerRevision")
    }
    assert cluster.deployed() <= set(stored.values())


def assert_settled(cluster: FakeCluster) -> None:
    """The wanted revision serves alone, and everybody knows."""
    wanted = resolve(cluster.endpoint.metadata.name, cluster.endpoint.spec, cluster.presets)
    status = cluster.endpoint.status
    config = cluster.config()
    assert config is not None
    assert status.stable_revision == wanted.revision
    assert [(item.name, item.weight) for item in config.revisions] == [(wanted.revision, 100)]
    assert cluster.deployed() == {wanted.process}
    assert {pod["metadata"]["labels"][LABEL_PROCESS] for pod in cluster.pods.values()} <= {
        wanted.process
    }
    roles = [
        item["metadata"]["labels"][LABEL_ROLE] for item in cluster.of_kind("ControllerRevision")
    ]
    assert sorted(set(roles)) in (["stable"], ["retired", "stable"])
    assert roles.count("stable") == 1
    assert len(roles) <= 1 + cluster.settings.revision_history_limit
    assert cluster.condition("Progressing") == ("True", "Complete")
    replicas = cluster.endpoint.spec.replicas
    ready = ("False", "NoReplicas") if replicas == 0 else ("True", "Ready")
    assert cluster.condition("Ready") == ready


@settings(max_examples=150)
@given(st.lists(HAPPENINGS, max_size=40))
def test_a_surge_ends_whatever_the_order_and_no_router_sends_into_the_void(
    happenings: list[Happening],
) -> None:
    cluster = a_cluster()
    for happening in happenings:
        carry_out(cluster, happening)
        assert_one_revision_has_all_weight(cluster)
        if happening.name.startswith("reconcile"):
            assert_what_runs_is_stored(cluster)
            assert processes_with_requests(cluster) & cluster.served <= cluster.deployed()
    cluster.unreachable.clear()
    cluster.settle()
    assert_settled(cluster)


@settings(max_examples=100)
@given(
    st.sampled_from(["Surge", "Replace"]),
    st.lists(HAPPENINGS | STRATEGY_CHANGES, max_size=40),
)
def test_a_rollout_ends_even_if_its_strategy_changes_on_the_way(
    strategy: str, happenings: list[Happening]
) -> None:
    cluster = a_cluster(strategy)
    for happening in happenings:
        carry_out(cluster, happening)
        assert_one_revision_has_all_weight(cluster)
    cluster.unreachable.clear()
    cluster.settle()
    assert_settled(cluster)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_under_replace_two_processes_never_run_at_once(models: list[int]) -> None:
    cluster = a_cluster("Replace")
    cluster.settle()
    for model in models:
        cluster.edit(model=MODELS[model])
        for _ in range(4):
            cluster.reconcile()
            cluster.run_controllers()
            running = {pod["metadata"]["labels"][LABEL_PROCESS] for pod in cluster.pods.values()}
            assert len(running) <= 1
            cluster.remove_ended_pods()
    cluster.settle()
    assert_settled(cluster)


@settings(max_examples=60)
@given(st.lists(HAPPENINGS, max_size=20), st.frozensets(st.integers(0, 9)))
def test_a_crash_between_two_children_changes_no_end_state(
    happenings: list[Happening], applied: frozenset[int]
) -> None:
    whole, cut_short = a_cluster(), a_cluster()
    for happening in happenings:
        carry_out(whole, happening)
        carry_out(cut_short, happening)
        cut_short.reconcile(only=applied)
    cut_short.reconcile(only=applied)
    for cluster in (whole, cut_short):
        cluster.unreachable.clear()
        cluster.settle()
        assert_settled(cluster)
    assert whole.config() == cut_short.config()
    assert [item["spec"] for item in whole.of_kind("Deployment")] == [
        item["spec"] for item in cut_short.of_kind("Deployment")
    ]


@settings(max_examples=60)
@given(st.lists(HAPPENINGS, max_size=30))
def test_a_status_changes_a_transition_time_only_with_its_condition(
    happenings: list[Happening],
) -> None:
    cluster = a_cluster()
    for happening in happenings:
        carry_out(cluster, happening)
    for (_, before), (now, after) in pairwise(cluster.written):
        assert after.observed_generation >= before.observed_generation
        old = {condition.type: condition for condition in before.conditions}
        for new in after.conditions:
            if new.type in old and old[new.type].status == new.status:
                assert new.last_transition_time == old[new.type].last_transition_time
            else:
                assert new.last_transition_time == now


@settings(max_examples=60)
@given(st.lists(HAPPENINGS, max_size=30))
def test_a_plan_carried_out_is_planned_again(happenings: list[Happening]) -> None:
    cluster = a_cluster()
    for happening in happenings:
        carry_out(cluster, happening)
    cluster.reconcile()
    made = cluster.reconcile()
    again = cluster.plan()
    assert (again.children, again.status) == (made.children, cluster.endpoint.status)
    assert again.events == ()


@settings(max_examples=40)
@given(st.lists(HAPPENINGS, max_size=20))
def test_another_operator_restarts_no_server(happenings: list[Happening]) -> None:
    cluster = a_cluster()
    for happening in happenings:
        carry_out(cluster, happening)
    cluster.unreachable.clear()
    cluster.edit(replicas=2)
    cluster.settle()
    before = {item["metadata"]["name"]: item["spec"] for item in cluster.of_kind("Deployment")}
    cluster.settings = replace(
        cluster.settings,
        fetch_image="registry.example/puna:2",
        accelerators={
            accelerator: replace(profile, image="registry.example/llama-server:2", gpu_layers=7)
            for accelerator, profile in cluster.settings.accelerators.items()
        },
        termination_grace_seconds=5,
        allowed_networks=("10.0.0.0/8",),
        model_cache_host_path="/var/cache/models",
    )
    cluster.settle()
    assert before == {
        item["metadata"]["name"]: item["spec"] for item in cluster.of_kind("Deployment")
    }
    cluster.presets = presets(preset(sampling={"temperature": 5}))
    cluster.settle()
    assert_settled(cluster)
    assert before == {
        item["metadata"]["name"]: item["spec"] for item in cluster.of_kind("Deployment")
    }


def test_a_former_revision_is_kept_for_the_routers_however_old_it_is() -> None:
    cluster = a_cluster()
    for model in (0, 1, 2, 3, 4, 5, 0):
        cluster.edit(model=MODELS[model])
        cluster.settle()
    former = cluster.deployed()
    cluster.edit(model=MODELS[7])
    for _ in range(4):
        cluster.reconcile()
        cluster.run_controllers()
        for name in cluster.pods:
            cluster.set_ready(name)
    assert former < cluster.deployed()
    cluster.settle()
    assert_settled(cluster)


@pytest.mark.parametrize(
    "change",
    [
        {"resources": {"limits": {"memory": "8Gi"}}},
        {"accelerator": "metal"},
        {"acceleratorCount": 2},
        {"nodeSelector": {"zone": "b"}},
        {"accelerator": None, "pools": [{"name": "gpu", "accelerator": "cuda", "replicas": 2}]},
    ],
)
def test_what_changes_with_the_model_leaves_the_serving_pods_alone(change: dict[str, Any]) -> None:
    cluster = FakeCluster(endpoint(model=MODELS[0], accelerator="cuda"))
    cluster.settle()
    serving = cluster.of_kind("Deployment")[0]
    (before,) = cluster.pods
    cluster.edit(model=MODELS[1], **change)
    for _ in range(3):
        cluster.reconcile()
        cluster.run_controllers()
        assert "deletionTimestamp" not in cluster.pods[before]["metadata"]
    for name in cluster.pods:
        cluster.set_ready(name)
    cluster.reconcile()
    assert serving["metadata"]["name"] in {
        item["metadata"]["name"] for item in cluster.of_kind("Deployment")
    }
    assert "deletionTimestamp" not in cluster.pods[before]["metadata"]
    cluster.settle()
    assert_settled(cluster)
    assert before not in cluster.pods


def test_servers_that_stay_follow_the_replicas_of_today() -> None:
    cluster = FakeCluster(endpoint(model=MODELS[0]))
    cluster.settle()
    cluster.edit(model=MODELS[1], replicas=3)
    cluster.reconcile()
    assert [item["spec"]["replicas"] for item in cluster.of_kind("Deployment")] == [3, 3]


def test_a_deployment_that_is_deleted_on_the_way_is_restored() -> None:
    cluster = FakeCluster(endpoint(model=MODELS[0]))
    cluster.settle()
    (key,) = [key for key in cluster.objects if key.kind == "Deployment"]
    cluster.edit(model=MODELS[1])
    cluster.reconcile()
    cluster.delete(key)
    cluster.reconcile()
    assert key in cluster.objects


def test_former_revisions_do_not_pile_up_behind_a_router_that_never_answers() -> None:
    cluster = FakeCluster(endpoint(model=MODELS[0]))
    cluster.settle()
    for model in [*MODELS, *MODELS]:
        cluster.edit(model=model)
        for _ in range(3):
            cluster.reconcile()
            cluster.run_controllers()
            for name in cluster.pods:
                cluster.set_ready(name)
        assert len(cluster.deployed()) <= 6
        assert_one_revision_has_all_weight(cluster)
    cluster.settle()
    assert_settled(cluster)

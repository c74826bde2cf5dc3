from __future__ import annotations

from typing import Any

from puna.api.llmendpoint_status import PoolStatus
from puna.api.pool import Pool
from puna.endpoint.census import take
from tests.factories import NOW, deployment, pod

NEW, OLD = "aaaaaaaa", "bbbbbbbb"
ENDING: dict[str, Any] = {"deletionTimestamp": NOW.isoformat()}


def pool(name: str = "default", replicas: int = 1) -> Pool:
    return Pool.model_validate({"name": name, "accelerator": "cpu", "replicas": replicas})


def test_pods_are_counted_by_pool_and_process() -> None:
    census = take(
        [],
        [
            pod(NEW, name="1"),
            pod(NEW, name="2", ready=False),
            pod(OLD, name="3"),
            pod(OLD, name="4", pool="gpu"),
        ],
    )
    assert census.pool_status((pool(), pool("gpu"))) == (
        PoolStatus(name="default", accelerator=pool().accelerator, replicas=3, ready_replicas=2),
        PoolStatus(name="gpu", accelerator=pool().accelerator, replicas=1, ready_replicas=1),
    )
    assert census.ready_replicas(NEW) == 1
    assert census.ready_replicas(OLD) == 2
    assert census.serving == {NEW, OLD}


def test_a_pod_that_is_being_deleted_exists_and_is_not_ready() -> None:
    census = take([], [pod(OLD, **ENDING)])
    assert census.pool_status((pool(),))[0].replicas == 1
    assert census.ready_replicas(OLD) == 0
    assert census.processes == {OLD}


def test_a_pod_that_has_ended_exists_no_longer_but_is_not_gone() -> None:
    census = take([], [pod(OLD, ready=False, phase="Failed")])
    assert census.pool_status((pool(),))[0].replicas == 0
    assert census.processes == {OLD}


def test_a_process_lives_while_a_deployment_of_it_stays() -> None:
    census = take([deployment(NEW), deployment(OLD, **ENDING)], [])
    assert census.live == {NEW}


def test_a_process_is_complete_once_every_pool_is() -> None:
    pools = (pool(), pool("gpu", 2))
    children = [deployment(NEW), deployment(NEW, pool="gpu", replicas=2)]
    pods = [pod(NEW, name="1"), pod(NEW, name="2", pool="gpu"), pod(NEW, name="3", pool="gpu")]
    assert take(children, pods).complete(NEW, pools)
    assert not take(children, pods[:2]).complete(NEW, pools)
    assert not take(children[:1], pods).complete(NEW, pools)


def test_a_deployment_whose_change_is_not_rolled_out_is_not_complete() -> None:
    changed = deployment(NEW, generation=2)
    assert not take([changed], [pod(NEW)]).complete(NEW, (pool(),))


def test_nothing_is_complete_without_pods_where_none_are_wanted() -> None:
    assert take([], []).complete(NEW, (pool(replicas=0),))

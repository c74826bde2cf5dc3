"""Rows 4, 5 and 11: children come back, kills change nothing, and deletion needs no operator."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from puna.triggers import ANCHOR_SECONDS
from tests.cluster import LocalCluster, eventually
from tests.e2e.models import Models
from tests.e2e.normal import differences, normal_form
from tests.e2e.notes import note
from tests.e2e.objects import Objects
from tests.e2e.processes import kill_operator, start_operator, stop_operator
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

KILLS = 10
SEED = 20260721
PACE_SECONDS = 0.4
"""Longest pause between two steps of the script."""

# Kind, and name where `{process}`, `{revision}` and `{budget}` are looked up.
CHILDREN = (
    ("ControllerRevision", "chat-"),
    ("Deployment", "chat-default-"),
    ("PodDisruptionBudget", "chat-default-"),
    ("ConfigMap", "chat-router-config"),
    ("Service", "chat"),
    ("Deployment", "puna-router"),
    ("Service", "puna-router"),
    ("RoleBinding", "puna-router"),
    ("ServiceAccount", "puna-router"),
    ("NetworkPolicy", "puna-router"),
    ("NetworkPolicy", "puna-backends"),
    ("Secret", "puna-backend-key"),
    ("ConfigMap", "puna-router"),
)
"""Every child of an endpoint with two replicas, and of its namespace: kind and start of its name.

A PodDisruptionBudget of the router exists only where it has replicas, a Role only as ClusterRole.
"""


@pytest.fixture(scope="module")
def healing(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Stage]:
    """An endpoint with all kinds of children."""
    stage = Stage(local_cluster, objects, models, local_cluster.new_namespace("healing"))
    stage.apply(stage.endpoint(replicas=2))
    stage.wait_ready()
    yield stage
    stage.delete_everything()


def test_the_list_of_children_is_complete(healing: Stage) -> None:
    made_by_others = {"Pod", "ReplicaSet"}
    found = {
        (item["kind"], item["metadata"]["name"])
        for item in healing.objects.children(healing.namespace)
        if item["kind"] not in made_by_others
    }
    assert len(found) == len(CHILDREN), sorted(found)
    for kind, start in CHILDREN:
        assert any(k == kind and name.startswith(start) for k, name in found), (kind, start)


@pytest.mark.parametrize(("kind", "start"), CHILDREN, ids=[f"{k}-{n}" for k, n in CHILDREN])
def test_a_deleted_child_comes_back(healing: Stage, kind: str, start: str) -> None:
    name, uid = _find(healing, kind, start)
    began = time.monotonic()
    healing.objects.delete(kind, healing.namespace, name)

    def restored() -> bool:
        found = healing.objects.get(kind, healing.namespace, name)
        return found is not None and found["metadata"]["uid"] != uid

    eventually(restored, seconds=20, what=f"{kind} {name} restored")
    back = time.monotonic() - began
    _whole(healing)
    note(f"{kind} {name}: back after {back:.2f} s, whole after {time.monotonic() - began:.2f} s")


def _find(stage: Stage, kind: str, start: str) -> tuple[str, str]:
    found = {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in stage.objects.all(kind, stage.namespace)
    }
    name = start if start in found else next(name for name in found if name.startswith(start))
    return name, found[name]


def _whole(stage: Stage) -> None:
    """Wait until nothing is on its way any more: Ready, all Pods settled, a request answered."""

    def settled() -> bool:
        pods = stage.objects.all("Pod", stage.namespace)
        going = any("deletionTimestamp" in pod["metadata"] for pod in pods)
        return not going and len(stage.pods()) == 2 and len(stage.router_pods()) == 1

    stage.wait_ready()
    eventually(settled, seconds=60, what="no Pod comes or goes")
    stage.wait_ready()
    assert stage.ask()["choices"]


def test_a_deleted_pod_comes_back(healing: Stage) -> None:
    for pod in (healing.pods()[0], healing.router_pods()[0]):
        healing.objects.delete("Pod", healing.namespace, pod["metadata"]["name"])
        _whole(healing)


def script(stage: Stage, pause: Callable[[], None]) -> Iterator[None]:
    """Create, change and delete; a pause before each step."""
    stage.apply(
        stage.preset("warm", temperature=1.0),
        stage.preset("cold", forced=True, temperature=0),
        stage.endpoint("one", preset="warm", replicas=2),
    )
    pause()
    yield
    stage.apply(stage.endpoint("two", model=stage.models.other, presets=["cold"]))
    pause()
    yield
    _stored(stage, "one", 1)
    stage.patch("one", presetRef={"name": "cold"})
    pause()
    yield
    stage.patch("two", replicas=2)
    pause()
    yield
    _stored(stage, "one", 2)
    stage.apply(stage.endpoint("one", model=stage.models.other, preset="cold", replicas=2))
    pause()
    yield
    stage.apply(stage.endpoint("three"))
    pause()
    yield
    stage.objects.delete("LLMEndpoint", stage.namespace, "two")
    pause()
    yield
    _stored(stage, "one", 3)
    stage.apply(stage.preset("cold", forced=True, temperature=0, topK=5))
    pause()
    yield
    stage.patch("three", replicas=0)
    pause()
    yield
    stage.apply(stage.endpoint("four", presets=["cold", "warm"]))
    pause()
    yield
    stage.patch("three", replicas=1)
    pause()
    yield


def _stored(stage: Stage, name: str, revisions: int) -> None:
    """Wait until a change is stored as a revision: one that nobody saw leaves no trace."""
    eventually(
        lambda: len((stage.find(name) or {}).get("status", {}).get("revisions", ())) >= revisions,
        seconds=60,
        what=f"{revisions} revisions of {name}",
    )


def test_ten_kills_of_the_operator_change_nothing(
    local_cluster: LocalCluster, objects: Objects, models: Models
) -> None:
    calm = Stage(local_cluster, objects, models, local_cluster.new_namespace("calm"))
    chance = random.Random(SEED)
    for _ in script(calm, lambda: time.sleep(chance.uniform(0, PACE_SECONDS))):
        pass
    expected = _end_state(calm)
    calm.delete_everything()

    rough = Stage(local_cluster, objects, models, local_cluster.new_namespace("rough"))
    note(f"kills: seed {SEED}")
    kills: list[str] = []
    began = time.monotonic()

    def interrupted() -> None:
        """One kill after a step, at a moment that falls anywhere in what the step set off."""
        if len(kills) < KILLS:
            time.sleep(chance.uniform(0, PACE_SECONDS))
            kill_operator(local_cluster)
            kills.append(f"{time.monotonic() - began:.2f}")
            start_operator(local_cluster)
        time.sleep(chance.uniform(0, 3 * PACE_SECONDS))

    for _ in script(rough, interrupted):
        pass
    note(f"killed at {', '.join(kills)} s")
    assert len(kills) == KILLS
    different = differences(_end_state(rough), expected)
    assert not different, "\n".join(different)
    rough.delete_everything()


def _end_state(stage: Stage) -> dict[str, object]:
    """Everything in the namespace once it is at rest, without what differs from run to run."""
    stage.wait_ready("one", "three", "four")

    def at_rest() -> dict[str, object] | None:
        before = _objects(stage)
        # The anchor's owners are gathered for a while before they are written.
        time.sleep(ANCHOR_SECONDS + 1)
        after = _objects(stage)
        collected = not any(
            item["metadata"].get("labels", {}).get("puna.dev/endpoint") == "two"
            for item in stage.objects.children(stage.namespace)
        )
        return after if collected and before == after else None

    return eventually(at_rest, seconds=60, what="objects at rest")


def _objects(stage: Stage) -> dict[str, object]:
    found = [
        *stage.objects.children(stage.namespace),
        *stage.objects.all("LLMEndpoint", stage.namespace),
        *stage.objects.all("Preset", stage.namespace),
    ]
    return normal_form(found, stage.namespace)


def test_delete_all_needs_no_operator(stage: Stage) -> None:
    stage.apply(stage.endpoint("one", replicas=2), stage.endpoint("two", model=stage.models.other))
    stage.wait_ready("one", "two")
    stop_operator(stage.cluster)
    try:
        began = time.monotonic()
        stage.kubectl("delete", "llme", "--all", "--timeout=20s")
        note(f"kubectl delete llme --all: {time.monotonic() - began:.2f} s")
        eventually(
            lambda: not stage.objects.children(stage.namespace), seconds=60, what="no children"
        )
        note(f"nothing left after {time.monotonic() - began:.2f} s")
    finally:
        start_operator(stage.cluster)

"""A ControllerRevision that a user deletes comes back as it was, on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from puna.core.plan import Manifest
from tests.api.shell.conftest import Team
from tests.api.shell.servers import serve, servers
from tests.cluster import eventually
from tests.operator_process import operator

pytestmark = pytest.mark.api
NEW_MODEL = {"uri": "file:///srv/models/other.gguf"}
SURGE = {"strategy": "Surge"}
CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}}
OTHER_IMAGES = json.dumps({"cpu": {"image": "registry.example/llama-server:2", "gpuLayers": 7}})


def revisions(team: Team) -> dict[str, Manifest]:
    return {item["metadata"]["labels"]["puna.dev/revision"]: item for item in revisions_of(team)}


def revisions_of(team: Team) -> list[Manifest]:
    return [
        item
        for item in team.all("ControllerRevision")
        if "deletionTimestamp" not in item["metadata"]
    ]


def role(revision: Manifest) -> str:
    return str(revision["metadata"]["labels"]["puna.dev/role"])


def templates(team: Team) -> dict[str, Manifest]:
    return {
        item["metadata"]["name"]: item["spec"]["template"]
        for item in team.all("Deployment")
        if "puna.dev/process" in item["metadata"]["labels"]
    }


def stable(team: Team) -> str | None:
    endpoint = team.get("LLMEndpoint", "chat") or {}
    name: str | None = endpoint.get("status", {}).get("stableRevision")
    return name


def begin(team: Team, rollout: dict[str, Any], *, sampling: bool) -> tuple[str, str]:
    """Serve one revision, and have another one on its way; returns the names of both."""
    preset = {"precedence": "Default", "sampling": {"temperature": 1}}
    team.apply("Preset", "balanced", "puna.dev/v1alpha1", spec=preset)
    spec: dict[str, Any] = {"rollout": rollout, "presetRef": {"name": "balanced"}}
    team.endpoint(**spec)
    eventually(team.is_complete)
    serve(team)
    (old,) = eventually(lambda: [name for name in revisions(team) if is_proven(team, name)])
    if sampling:
        preset["sampling"] = {"temperature": 0.5}
        team.apply("Preset", "balanced", "puna.dev/v1alpha1", spec=preset)
    else:
        team.endpoint(**spec, model=NEW_MODEL)
    new = eventually(lambda: next((name for name in revisions(team) if name != old), None))
    eventually(lambda: role(revisions(team)[new]) == "candidate" or None)
    return old, new


def is_proven(team: Team, name: str) -> bool:
    return "puna.dev/proven" in revisions(team)[name]["metadata"]["labels"]


def empty_status(team: Team) -> None:
    team.plane.kubectl(
        *("patch", "llme", "chat", "-n", team.namespace, "--subresource=status"),
        *("--type=json", '--patch=[{"op": "remove", "path": "/status"}]'),
    )


@pytest.mark.parametrize(
    ("rollout", "sampling"),
    [(SURGE, False), (CANARY, False), (CANARY, True)],
    ids=["surge", "canary", "canary of sampling"],
)
def test_a_stable_revision_deleted_in_the_middle_of_a_rollout_is_restored(
    rollout: dict[str, Any], team: Team, tmp_path: Path, *, sampling: bool
) -> None:
    kubeconfig, scope = team.plane.kubeconfig, {"WATCH_NAMESPACE": team.namespace}
    with operator(kubeconfig, tmp_path / "first.log", **scope):
        old, new = begin(team, rollout, sampling=sampling)
        team.settled()
        before, rendered, pods = revisions(team), templates(team), servers(team)
        team.plane.kubectl(
            *("delete", "controllerrevision", before[old]["metadata"]["name"], "-n", team.namespace)
        )
        eventually(lambda: old in revisions(team), what="the stable revision to be restored")
        team.settled()
        assert stable(team) == old
    assert revisions(team)[old]["data"] == before[old]["data"]
    assert {name: role(item) for name, item in revisions(team).items()} == {
        old: "stable",
        new: "candidate",
    }
    assert (templates(team), servers(team)) == (rendered, pods)


def test_all_that_is_stored_is_restored_by_another_operator_and_without_a_status(
    team: Team, tmp_path: Path
) -> None:
    kubeconfig, scope = team.plane.kubeconfig, {"WATCH_NAMESPACE": team.namespace}
    with operator(kubeconfig, tmp_path / "first.log", **scope):
        old, new = begin(team, CANARY, sampling=False)
        serve(team)
        eventually(lambda: is_proven(team, new), what="the canary to get its share")
        team.settled()
        before, rendered, pods = revisions(team), templates(team), servers(team)
    names = [item["metadata"]["name"] for item in before.values()]
    team.plane.kubectl("delete", "controllerrevision", *names, "-n", team.namespace)
    empty_status(team)
    with operator(kubeconfig, tmp_path / "second.log", **scope, ACCELERATORS=OTHER_IMAGES):
        eventually(lambda: set(revisions(team)) == {old, new}, what="both to be restored")
        team.settled()
        assert stable(team) == old
        endpoint = team.get("LLMEndpoint", "chat") or {}
        assert endpoint["status"]["canary"]["weight"] == 10
    assert {name: role(item) for name, item in revisions(team).items()} == {
        old: "stable",
        new: "candidate",
    }
    for name in (old, new):
        assert revisions(team)[name]["data"] == before[name]["data"]
    assert (templates(team), servers(team)) == (rendered, pods)

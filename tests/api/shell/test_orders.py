"""Orders about a rollout, given by the commands, on a real API server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from puna_cli.canary import abort, retry
from puna_cli.kubectl import Kubectl
from puna_cli.revisions import history, rollback, undo
from tests.api.shell.conftest import Team
from tests.api.shell.servers import serve, servers
from tests.cluster import eventually
from tests.operator_process import OperatorProcess

pytestmark = pytest.mark.api
CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}}


def kubectl(team: Team) -> Kubectl:
    return Kubectl(team.plane.kubectl_binary, team.plane.kubeconfig)


def status(team: Team) -> dict[str, Any]:
    endpoint = team.get("LLMEndpoint", "chat") or {}
    found: dict[str, Any] = endpoint.get("status", {})
    return found


def rollout(team: Team) -> str:
    return str(status(team).get("summary", {}).get("rollout", ""))


def serve_model(team: Team, name: str, **spec: Any) -> str:
    """Roll a model out to its end; returns its revision."""
    before = status(team).get("stableRevision")
    team.endpoint(model={"uri": f"file:///srv/models/{name}.gguf"}, **spec)

    def served() -> str | None:
        serve(team)
        now = status(team)
        stable: str | None = now.get("stableRevision")
        ready = now.get("summary", {}).get("ready") == "1/1"
        return stable if ready and stable != before and "candidate" not in roles(team) else None

    return eventually(served, what=f"{name} to be served")


def roles(team: Team) -> list[str]:
    return [item["metadata"]["labels"]["puna.dev/role"] for item in team.all("ControllerRevision")]


def until(team: Team, text: str) -> None:
    """Let servers come and go until this is rolled out."""

    def told() -> bool:
        serve(team)
        return rollout(team) == text

    eventually(told, what=f"rollout {text}")


def test_any_stored_revision_serves_again_by_its_name(team: Team, running: OperatorProcess) -> None:
    first, second, third = [
        serve_model(team, name, revisionHistoryLimit=2) for name in ("one", "two", "three")
    ]
    rows, _ = history(kubectl(team), team.namespace, "chat")
    assert {row[0]: row[1] for row in rows} == {
        first: "Retired",
        second: "Retired",
        third: "Stable",
    }
    rollback(kubectl(team), team.namespace, "chat", first, now=int(time.time()))
    eventually(lambda: rollout(team) == f"Rollback -> {first}", what=running.text())
    assert status(team)["stableRevision"] == third
    until(team, f"Rolled back to {first}")
    assert status(team)["rollback"] == {"revision": first, "insteadOf": third}
    assert team.condition("Progressing")[:2] == ("False", "RolledBack")
    serve(team)
    assert len(servers(team)) == 1
    undo(kubectl(team), team.namespace, "chat")
    eventually(lambda: rollout(team) == f"Surge -> {third}", what=running.text())
    eventually(lambda: "rollback" not in status(team))


def test_a_canary_that_was_aborted_is_tried_again(team: Team, running: OperatorProcess) -> None:
    stable = serve_model(team, "one", rollout=CANARY)
    team.endpoint(model={"uri": "file:///srv/models/two.gguf"}, rollout=CANARY)
    name = eventually(lambda: status(team).get("canary", {}).get("revision"), what=running.text())
    until(team, f"10% -> {name}")
    abort(kubectl(team), team.namespace, "chat", now=1)
    until(team, f"Aborted {name}")
    retry(kubectl(team), team.namespace, "chat", now=2)
    until(team, f"10% -> {name}")
    assert status(team)["stableRevision"] == stable
    abort(kubectl(team), team.namespace, "chat", now=3)
    until(team, f"Aborted {name}")

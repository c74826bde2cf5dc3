"""The operator, as the chart runs it: its ServiceAccount, its permissions, its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from puna_cli.cluster.control_plane import api_server
from puna_cli.cluster.program import Program
from tests.charts.helm import CHART, Helm
from tests.cluster import ControlPlane, eventually, start_control_plane

pytestmark = [pytest.mark.api, pytest.mark.timeout(900)]

ACCOUNT = "system:serviceaccount:puna-system:puna"
CREATED = {
    ("apps", "controllerrevisions"),
    ("apps", "deployments"),
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
}
"""Every kind of child that an endpoint with two replicas and API keys has."""


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """An API server of its own, as strict as they come, that logs what the operator asks for.

    It lets only those name an owner with blockOwnerDeletion who may change the owner's finalizers.
    """

    def strict(*arguments: Any, **options: Any) -> tuple[Program, ...]:
        flag = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
        return tuple(
            replace(program, argv=(*program.argv, flag)) if program.name == "apiserver" else program
            for program in api_server(*arguments, **options)
        )

    monkeypatch.setattr("tests.cluster.api_server", strict)
    started = start_control_plane(tmp_path / "plane", audit_users=[ACCOUNT])
    for name in ("puna-system", "team-a", "team-b"):
        started.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield started
    started.stop()


def endpoint(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "puna.dev/v1alpha1",
        "kind": "LLMEndpoint",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {
            "model": {"uri": "https://example.org/a.gguf", "sha256": "0" * 64},
            "accelerator": "cpu",
            "replicas": 2,
            "access": {"apiKeySecretRef": {"name": "api-keys"}},
        },
    }


@contextmanager
def installed_operator(helm: Helm, plane: ControlPlane, *arguments: str) -> Iterator[Path]:
    """Install the chart and run its operator here; yields the operator's log."""
    release = ("puna", str(CHART), "--namespace=puna-system")
    helm.run("install", *release, *arguments, kubeconfig=plane.kubeconfig)
    folder = plane.paths.root
    kubeconfig, log = folder / "operator.kubeconfig", folder / "operator.log"
    config = json.loads(plane.kubectl("config", "view", "--raw", "--output=json"))
    token = plane.kubectl("create", "token", "puna", "--namespace=puna-system").strip()
    config["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(json.dumps(config))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PUNA_")},
        **helm.render(*arguments).environment,
        "PUNA_LISTEN": "127.0.0.1:0",
    }
    with log.open("w") as output:
        operator = subprocess.Popen(
            [sys.executable, "-m", "puna", f"--kubeconfig={kubeconfig}"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        operator.terminate()
        assert operator.wait(timeout=20) == 0


def requests(plane: ControlPlane) -> list[dict[str, Any]]:
    """Return every request of the operator that has been answered."""
    assert plane.audit_log is not None
    written, _, _ = plane.audit_log.read_text().rpartition("\n")  # the last line may be cut off
    events = [json.loads(line) for line in written.splitlines()]
    return [event for event in events if "responseStatus" in event and "objectRef" in event]


def created(plane: ControlPlane, namespace: str) -> set[tuple[str, str]]:
    return {
        (event["objectRef"].get("apiGroup", ""), event["objectRef"]["resource"])
        for event in requests(plane)
        if event["responseStatus"]["code"] == 201
        and event["verb"] == "patch"
        and event["objectRef"].get("namespace") == namespace
    }


def refused(plane: ControlPlane) -> list[str]:
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in requests(plane)
        if event["responseStatus"]["code"] in (401, 403)
    ]


def condition(plane: ControlPlane, namespace: str, kind: str) -> str | None:
    found = plane.get(f"/apis/puna.dev/v1alpha1/namespaces/{namespace}/llmendpoints/chat")
    assert found is not None
    conditions = found.get("status", {}).get("conditions", [])
    return next((item["status"] for item in conditions if item["type"] == kind), None)


def test_the_charts_permissions_are_enough_for_every_child(helm: Helm, plane: ControlPlane) -> None:
    with installed_operator(helm, plane) as log:
        plane.apply(endpoint("team-a"))
        eventually(
            lambda: created(plane, "team-a") == CREATED,
            what=f"every child; {created(plane, 'team-a')}",
        )
        eventually(lambda: condition(plane, "team-a", "Accepted") == "True", what="Accepted")
        before = created_count(plane, "services")
        plane.kubectl("delete", "service/chat", "--namespace=team-a")
        eventually(lambda: created_count(plane, "services") > before, what="the Service is back")
        # More replicas, then fewer: the disruption budget goes.
        plane.kubectl("scale", "llme/chat", "--replicas=1", "--namespace=team-a")
        budgets = "/apis/policy/v1/namespaces/team-a/poddisruptionbudgets"
        eventually(lambda: not (plane.get(budgets) or {})["items"], what="the budget is gone")
        assert refused(plane) == []
        assert "403 Forbidden" not in log.read_text()


def created_count(plane: ControlPlane, resource: str) -> int:
    return sum(
        event["objectRef"]["resource"] == resource and event["responseStatus"]["code"] == 201
        for event in requests(plane)
    )


def test_in_one_namespace_the_permissions_of_that_namespace_are_enough(
    helm: Helm, plane: ControlPlane
) -> None:
    with installed_operator(helm, plane, "--set=settings.watchNamespace=team-a") as log:
        plane.apply(endpoint("team-a"), endpoint("team-b"))
        eventually(
            lambda: created(plane, "team-a") == CREATED,
            what=f"every child; {created(plane, 'team-a')}",
        )
        assert created(plane, "team-b") == set()
        assert refused(plane) == []
        assert "403 Forbidden" not in log.read_text()

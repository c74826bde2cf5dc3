"""What the operator writes, writes again, leaves alone and puts back, on a real API server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from puna.cluster.resources import CHILDREN, CLAIMS, JOBS
from puna.core.plan import Manifest
from tests.api.shell.conftest import Team
from tests.cluster import eventually
from tests.operator_process import OperatorProcess, operator

pytestmark = pytest.mark.api

RICH: dict[str, Any] = {
    "replicas": 2,
    "resources": {
        "requests": {"cpu": "1000m", "memory": "1024Mi"},
        "limits": {"cpu": "2", "memory": "2Gi"},
    },
    "nodeSelector": {"disk": "fast"},
    "access": {"apiKeySecretRef": {"name": "keys"}},
}
"""A spec with something in every place where the server writes values its own way, and with every
kind of child."""


FETCHED = {"uri": "https://models.example/tiny.gguf", "sha256": "0" * 64}
SPECS: dict[str, dict[str, Any]] = {
    "chat": RICH,
    "gpu": {"accelerator": "cuda", "acceleratorCount": 2},
    "mac": {"accelerator": "metal", "rollout": {"strategy": "Replace"}},
    "fetched": {
        "model": FETCHED
        | {
            "credentialsSecretRef": {"name": "token"},
            "caSecretRef": {"name": "authority"},
            "cache": {"persistentVolumeClaim": {"claimName": "models"}},
        },
        "presetRef": {"name": "rich"},
    },
    "claimed": {"model": {"uri": "pvc://models/a/b.gguf"}},
    "routed": {
        "routing": {"strategy": "LeastBusy", "queue": {"maxDepth": 0}, "retries": 0},
        "externalEndpoints": [
            {
                "name": "studio",
                "url": "https://studio.example",
                "apiKeySecretRef": {"name": "token"},
                "caSecretRef": {"name": "authority"},
                "priority": 1,
            }
        ],
        "rollout": {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}},
    },
    "pooled": {
        "accelerator": None,
        "pools": [
            {"name": "gpu", "accelerator": "cuda", "replicas": 2},
            {"name": "cpu", "accelerator": "cpu", "nodeSelector": {"a": "b"}},
        ],
    },
}


def test_a_second_pass_and_a_restart_write_nothing(team: Team, tmp_path: Path) -> None:
    kubeconfig = team.plane.kubeconfig
    scope = {"WATCH_NAMESPACE": team.namespace}
    with operator(kubeconfig, tmp_path / "first.log", **scope):
        apply_every_kind_of_spec(team)
        eventually(lambda: all(team.condition("Accepted", name)[0] == "True" for name in SPECS))
        eventually(lambda: all(team.deployment(name) for name in SPECS))
        eventually(lambda: owners_of_anchor(team) == len(SPECS))
        before = team.settled()
    with operator(kubeconfig, tmp_path / "second.log", **scope) as second:
        team.plane.kubectl(
            "annotate", "-n", team.namespace, "llme", "--all", "example.org/touched=yes"
        )
        eventually(lambda: passes(second) >= 2 * len(SPECS))
        assert "applied" not in second.text()
        assert 'verb="patch"' not in second.metrics()
    after = team.versions()
    kept = {key for key in before if key[0] != "LLMEndpoint"}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def apply_every_kind_of_spec(team: Team) -> None:
    """Apply endpoints that use every source, cache, Secret, pool and server setting there is."""
    team.apply("Secret", "token", stringData={"token": "t"})
    team.apply("Secret", "authority", stringData={"ca.crt": "pem"})
    claim = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeName": "none",
    }
    team.apply("PersistentVolumeClaim", "models", spec=claim)
    server = {"threads": 4, "slots": 2, "cacheTypeK": "q8_0", "promptCacheMemory": "512Mi"}
    prompt = {"system": "Be brief.", "chatTemplate": "{{ messages }}"}
    spec = {"sampling": {"temperature": 1, "topP": 0.5}, "server": server, "prompt": prompt}
    team.apply("Preset", "rich", "puna.dev/v1alpha1", spec=spec)
    for name, members in SPECS.items():
        team.endpoint(name, **members)


def passes(process: OperatorProcess) -> float:
    """Passes over LLMEndpoints that ended well."""
    found = re.search(
        r'puna_reconcile_total\{kind="LLMEndpoint",result="success"\} ([0-9.]+)', process.metrics()
    )
    return float(found[1]) if found else 0.0


def owners_of_anchor(team: Team) -> int:
    anchor = team.get("ConfigMap", "puna-router")
    assert anchor is not None
    return len(anchor["metadata"]["ownerReferences"])


def test_a_deleted_child_of_each_kind_is_restored(team: Team, running: OperatorProcess) -> None:
    team.endpoint(**RICH)
    eventually(team.is_complete)
    eventually(lambda: team.all("PodDisruptionBudget"))
    for kind in [resource.kind for resource in CHILDREN if resource not in (JOBS, CLAIMS)]:
        team.settled()
        before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in team.all(kind)}
        assert before, kind
        team.plane.kubectl("delete", "-n", team.namespace, kind, *before, "--wait=false")

        def restored(kind: str = kind, before: Manifest = before) -> bool:
            now = {item["metadata"]["name"]: item["metadata"]["uid"] for item in team.all(kind)}
            return set(now) == set(before) and not set(now.values()) & set(before.values())

        eventually(restored, what=f"{kind} to be restored; {running.text()[-2000:]}")


def test_what_others_set_survives_and_what_is_ours_is_put_back(
    team: Team, running: OperatorProcess
) -> None:
    team.endpoint()
    eventually(team.is_complete)
    team.settled()
    deployment = team.deployment()
    assert deployment is not None
    name = deployment["metadata"]["name"]
    path = f"deployment/{name}"
    team.plane.kubectl("label", "-n", team.namespace, path, "example.org/team=a")
    team.plane.kubectl("scale", "-n", team.namespace, path, "--replicas=7")
    team.plane.kubectl(
        "label", "-n", team.namespace, path, "app.kubernetes.io/part-of=theirs", "--overwrite"
    )

    def put_back() -> bool:
        live = team.get("Deployment", name)
        assert live is not None
        labels = live["metadata"]["labels"]
        found = (
            live["spec"]["replicas"],
            labels["app.kubernetes.io/part-of"],
            labels["example.org/team"],
        )
        return found == (1, "puna", "a")

    eventually(put_back, what=running.text())
    team.settled()
    assert put_back()


def test_a_child_whose_label_was_taken_off_is_still_ours(
    team: Team, running: OperatorProcess
) -> None:
    team.endpoint()
    eventually(team.is_complete)
    team.settled()
    team.plane.kubectl(
        "label", "-n", team.namespace, "service/chat", "app.kubernetes.io/managed-by-"
    )
    eventually(
        lambda: any(item["metadata"]["name"] == "chat" for item in team.all("Service")),
        what=running.text(),
    )
    assert team.condition("Accepted")[0] == "True"


@pytest.mark.parametrize(
    ("kind", "api_version", "members"),
    [
        ("Service", "v1", {"spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}),
        ("ConfigMap", "v1", {"data": {"theirs": "yes"}}),
    ],
)
def test_a_foreign_object_with_a_childs_name_is_left_alone(
    kind: str,
    api_version: str,
    members: dict[str, Any],
    team: Team,
    running: OperatorProcess,
) -> None:
    name = "chat" if kind == "Service" else "chat-router-config"
    team.apply(kind, name, api_version, **members)
    before = team.get(kind, name)
    team.endpoint()
    eventually(lambda: team.condition("Accepted")[1] == "NameConflict", what=running.text())
    assert name in team.condition("Accepted")[2]
    assert team.get(kind, name) == before
    assert team.deployment() is None
    team.plane.kubectl("delete", "-n", team.namespace, kind, name)
    eventually(lambda: team.condition("Accepted")[0] == "True", what=running.text())
    eventually(team.is_complete, what=running.text())


def test_a_foreign_object_with_the_routers_name_is_told_and_left_alone(
    team: Team, running: OperatorProcess
) -> None:
    theirs = {"spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}
    team.apply("Service", "puna-router", "v1", **theirs)
    before = team.get("Service", "puna-router")
    team.endpoint()
    eventually(lambda: team.condition("Ready")[1] == "NameConflict", what=running.text())
    assert "Service puna-router" in team.condition("Ready")[2]
    assert team.get("Service", "puna-router") == before
    team.plane.kubectl("delete", "-n", team.namespace, "service/puna-router")
    eventually(team.is_complete, what=running.text())


def test_a_foreign_deployment_with_a_childs_name_is_left_alone(team: Team, tmp_path: Path) -> None:
    scope = {"WATCH_NAMESPACE": team.namespace}
    with operator(team.plane.kubeconfig, tmp_path / "first.log", **scope):
        team.endpoint()
        eventually(team.is_complete)
    deployment = team.deployment()
    assert deployment is not None
    name = deployment["metadata"]["name"]
    team.plane.kubectl("delete", "-n", team.namespace, f"deployment/{name}", "--wait=false")
    eventually(lambda: team.deployment() is None)
    labels = {"app": "theirs"}
    team.apply(
        "Deployment",
        name,
        "apps/v1",
        spec={
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    )
    before = team.get("Deployment", name)
    with operator(team.plane.kubeconfig, tmp_path / "second.log", **scope):
        eventually(lambda: team.condition("Accepted")[1] == "NameConflict")
    assert team.get("Deployment", name) == before


def test_only_what_is_ours_is_pruned(team: Team, running: OperatorProcess) -> None:
    team.endpoint(**RICH)
    eventually(lambda: team.all("PodDisruptionBudget"), what=running.text())
    owned_by_others = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": "chat-theirs",
            "namespace": team.namespace,
            "labels": {"app.kubernetes.io/managed-by": "puna", "puna.dev/endpoint": "chat"},
        },
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}},
    }
    team.plane.apply(owned_by_others)
    team.endpoint(**RICH | {"replicas": 1})
    eventually(
        lambda: (
            [item["metadata"]["name"] for item in team.all("PodDisruptionBudget")]
            == ["chat-theirs"]
        ),
        what=running.text(),
    )

"""What controllers and nodes would do where there are none: Pods that serve, and those that go."""

from __future__ import annotations

import json
from typing import Any

from puna.core.naming import LABEL_ENDPOINT, LABEL_POOL, LABEL_PROCESS
from puna.core.plan import Manifest
from puna_cli.errors import CommandError
from tests.api.shell.conftest import Team

COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def serve(team: Team) -> None:
    """Let every Deployment have the Pods that it wants, ready, and Pods without one be gone."""
    team.apply("ServiceAccount", "default")
    deployments = {item["metadata"]["name"]: item for item in team.all("Deployment")}
    pods = servers(team)
    for name, owner in pods.items():
        if owner not in deployments:
            team.plane.kubectl(
                *("delete", "pod", name, "-n", team.namespace, "--grace-period=0", "--force")
            )
    for name, deployment in deployments.items():
        if LABEL_PROCESS in deployment["metadata"]["labels"]:
            _run(team, name, deployment, known=set(pods))


def servers(team: Team) -> dict[str, str]:
    """The Deployment of each llama-server Pod, by the Pod's name."""
    path = f"/api/v1/namespaces/{team.namespace}/pods"
    answer = team.api.get(path) or {"items": []}
    return {
        item["metadata"]["name"]: item["metadata"]["annotations"]["example.org/deployment"]
        for item in answer["items"]
    }


def _run(team: Team, name: str, deployment: Manifest, *, known: set[str]) -> None:
    replicas = deployment["spec"]["replicas"]
    for number in range(replicas):
        pod = f"{name}-{number}"
        if pod not in known:
            _start(team, pod, name, deployment)
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "conditions": [COMPLETE],
    }
    _tell(team, f"deployment/{name}", status)


def _start(team: Team, pod: str, name: str, deployment: Manifest) -> None:
    marks = {
        label: deployment["metadata"]["labels"][label]
        for label in (LABEL_ENDPOINT, LABEL_POOL, LABEL_PROCESS)
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-5d8f", "uid": name}
    metadata = {
        "name": pod,
        "namespace": team.namespace,
        "labels": deployment["spec"]["template"]["metadata"]["labels"] | marks,
        "annotations": {"example.org/deployment": name},
        "ownerReferences": [owner],
    }
    spec = {"containers": [{"name": "llama-server", "image": "example.org/none"}]}
    team.plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ready = {"type": "Ready", "status": "True"}
    _tell(team, f"pod/{pod}", {"phase": "Running", "conditions": [ready]})


def _tell(team: Team, path: str, status: dict[str, Any]) -> None:
    """Write a status, as a controller does: what has been deleted meanwhile needs none."""
    patch = json.dumps({"status": status})
    try:
        team.plane.kubectl(
            *("patch", path, "-n", team.namespace, "--subresource=status"),
            *("--type=merge", f"--patch={patch}"),
        )
    except CommandError as error:
        if "(NotFound)" not in str(error):
            raise

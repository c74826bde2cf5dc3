"""Objects of a cluster, read and written as its administrator over one kept connection."""

from __future__ import annotations

import json
import ssl
from typing import Any, Final

import httpx

from puna_cli.cluster.identities import CLUSTER_CA
from tests.cluster import ApiServer

Manifest = dict[str, Any]

COLLECTIONS: Final = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "ControllerRevision": ("/apis/apps/v1", "controllerrevisions"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Event": ("/api/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "LLMEndpoint": ("/apis/puna.dev/v1alpha1", "llmendpoints"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "Preset": ("/apis/puna.dev/v1alpha1", "presets"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "ResourceQuota": ("/api/v1", "resourcequotas"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "TrainingJob": ("/apis/puna.dev/v1alpha1", "trainingjobs"),
}
CHILD_KINDS: Final = (
    "ConfigMap",
    "ControllerRevision",
    "Deployment",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
)
"""Kinds of everything that an LLMEndpoint brings about, directly or through a Deployment."""
OURS: Final = "app.kubernetes.io/managed-by=puna"


class Objects:
    """Requests to one API server; usable from several threads."""

    def __init__(self, cluster: ApiServer) -> None:
        authority = cluster.paths.certificate(CLUSTER_CA)
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(cluster.paths.certificate("admin"), cluster.paths.key("admin"))
        self._client = httpx.Client(
            base_url=cluster.server, verify=context, timeout=20, trust_env=False
        )

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """An object, None where there is none."""
        answer = self._client.get(_path(kind, namespace, name))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _document(answer)

    def all(self, kind: str, namespace: str, selector: str = "") -> list[Manifest]:
        """The objects of a kind, each with its kind."""
        parameters = {"labelSelector": selector} if selector else {}
        answer = _document(self._client.get(_path(kind, namespace), params=parameters))
        return [{**item, "kind": kind} for item in answer["items"]]

    def apply(self, *manifests: Manifest) -> None:
        """Server-side apply, one after the other."""
        for manifest in manifests:
            metadata = manifest["metadata"]
            answer = self._client.patch(
                _path(manifest["kind"], metadata["namespace"], metadata["name"]),
                params={"fieldManager": "tests", "force": "true"},
                content=json.dumps(manifest),
                headers={"content-type": "application/apply-patch+yaml"},
            )
            _document(answer)

    def patch(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        """JSON merge patch."""
        answer = self._client.patch(
            _path(kind, namespace, name),
            content=json.dumps(change),
            headers={"content-type": "application/merge-patch+json"},
        )
        return _document(answer)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object that is there; what it owns follows in the background."""
        body = {"propagationPolicy": "Background"}
        _document(self._client.request("DELETE", _path(kind, namespace, name), json=body))

    def children(self, namespace: str) -> list[Manifest]:
        """Everything in a namespace that carries our label, and what Deployments made of it."""
        return [item for kind in CHILD_KINDS for item in self.all(kind, namespace, OURS)]


def condition(manifest: Manifest | None, kind: str) -> Manifest:
    """A condition that speaks of the present generation; empty where there is none."""
    if manifest is None:
        return {}
    generation = manifest["metadata"].get("generation")
    for item in manifest.get("status", {}).get("conditions", ()):
        if item["type"] == kind and item.get("observedGeneration", generation) == generation:
            found: Manifest = item
            return found
    return {}


def is_true(manifest: Manifest | None, kind: str) -> bool:
    """Whether a condition holds for the present generation."""
    return condition(manifest, kind).get("status") == "True"


def _path(kind: str, namespace: str, name: str | None = None) -> str:
    prefix, plural = COLLECTIONS[kind]
    path = f"{prefix}/namespaces/{namespace}/{plural}"
    return path if name is None else f"{path}/{name}"


def _document(answer: httpx.Response) -> Manifest:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.text}"
    document: Manifest = answer.json()
    return document

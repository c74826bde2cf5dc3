"""Objects as watches show them."""

from __future__ import annotations

from typing import Any

from puna.core.naming import BACKEND_KEY_NAME, ROUTER_NAME, endpoint_labels, labels
from puna.core.plan import Manifest

TEAM = "team"


def live(
    kind: str,
    name: str,
    *,
    version: int = 1,
    uid: str | None = None,
    api_version: str = "v1",
    metadata: Manifest | None = None,
    **members: Any,
) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": TEAM,
            "uid": uid or f"uid-of-{kind}-{name}",
            "resourceVersion": str(version),
        }
        | (metadata or {}),
        **members,
    }


def endpoint(name: str = "chat", *, ready: bool | None = None, **members: Any) -> Manifest:
    conditions = (
        [] if ready is None else [{"type": "Ready", "status": "True" if ready else "False"}]
    )
    content: dict[str, Any] = {
        "spec": {"accelerator": "cpu", "model": {"uri": "file:///m.gguf"}},
        "status": {"conditions": conditions},
    }
    return live("LLMEndpoint", name, api_version="puna.dev/v1alpha1", **(content | members))


def child(kind: str = "Deployment", name: str = "chat-x", **members: Any) -> Manifest:
    owner = {"kind": "LLMEndpoint", "name": "chat", "uid": "uid-of-LLMEndpoint-chat"}
    metadata = {
        "labels": endpoint_labels("chat", "llama-server"),
        "ownerReferences": [owner | {"controller": True}],
    }
    return live(kind, name, metadata=metadata, **members)


def pod(name: str, *, ready: bool, router: bool = False, **members: Any) -> Manifest:
    marks = (
        labels(instance=ROUTER_NAME, component="router")
        if router
        else endpoint_labels("chat", "llama-server")
    )
    replica_set = {"kind": "ReplicaSet", "name": "chat-x-5d8f", "uid": "rs", "controller": True}
    return live(
        "Pod",
        name,
        metadata={"labels": marks, "ownerReferences": [replica_set]},
        status={"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        **members,
    )


def anchor() -> Manifest:
    return live(
        "ConfigMap",
        ROUTER_NAME,
        metadata={"labels": labels(instance=ROUTER_NAME, component="router")},
    )


def backend_key(value: str = "a2V5", **members: Any) -> Manifest:
    return live("Secret", BACKEND_KEY_NAME, data={"key": value}, **members)

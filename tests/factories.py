"""Valid minimal objects of every kind that plans are made from, with keyword overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import RevisionRole
from puna.api.preset import Preset
from puna.core.naming import BACKEND_KEY_NAME, endpoint_labels
from puna.core.plan import Manifest
from puna.endpoint.accept import AcceptInput
from puna.endpoint.effective import Effective, resolve
from puna.endpoint.observed import ObservedEndpoint, RouterObservation
from puna.endpoint.revision import StoredRevision, build_revision, new_revision
from puna.namespace.observed import RouterNamespace
from puna.settings import Settings
from puna_router.config import BackendState, EndpointPhase, EndpointState

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CREATED = datetime(2026, 3, 1, 11, 0, 0, tzinfo=UTC)
NAMESPACE = "team"
NAME = "chat"
UID = "11111111-1111-1111-1111-111111111111"
SHA = "5" * 64
MODEL_FOLDER = "/srv/models"
HTTPS_MODEL = {"uri": "https://models.example/tiny.gguf", "sha256": SHA}


def settings(**overrides: Any) -> Settings:
    return replace(Settings(model_folders=(MODEL_FOLDER,)), **overrides)


def endpoint(
    *,
    name: str = NAME,
    namespace: str = NAMESPACE,
    uid: str = UID,
    generation: int = 1,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> LLMEndpoint:
    """An endpoint with one cpu server; keywords are members of its spec."""
    minimal: dict[str, Any] = {"model": {"uri": f"file://{MODEL_FOLDER}/tiny.gguf"}}
    if not spec.get("pools"):
        minimal["accelerator"] = "cpu"
    return LLMEndpoint.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "generation": generation,
                "creationTimestamp": CREATED.isoformat(),
            },
            "spec": minimal | spec,
            "status": status or {},
        }
    )


def preset(name: str = "balanced", *, namespace: str = NAMESPACE, **spec: Any) -> Preset:
    return Preset.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"precedence": "Default"} | spec,
        }
    )


def presets(*items: Preset) -> dict[str, Preset]:
    return {item.metadata.name: item for item in items}


def backend_key(key: str = "a2V5") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": BACKEND_KEY_NAME, "namespace": NAMESPACE},
        "data": {"key": key},
    }


def observed(**overrides: Any) -> ObservedEndpoint:
    """What is seen of a new endpoint in a namespace whose router is ready."""
    return replace(
        ObservedEndpoint(backend_key=backend_key(), routers=(router(),)),
        **overrides,
    )


def accept_input(
    resource: LLMEndpoint | None = None, seen: ObservedEndpoint | None = None, **overrides: Any
) -> AcceptInput:
    return AcceptInput(resource or endpoint(), seen or observed(), settings(**overrides))


def effective(resource: LLMEndpoint | None = None, *named: Preset) -> Effective:
    resource = resource or endpoint()
    return resolve(resource.metadata.name, resource.spec, presets(*named))


def revision(
    resource: LLMEndpoint | None = None,
    *named: Preset,
    role: RevisionRole = RevisionRole.STABLE,
    **overrides: Any,
) -> StoredRevision:
    """The revision of an endpoint's spec, as it is before it is stored."""
    resource = resource or endpoint()
    made = new_revision(
        effective(resource, *named),
        namespace=resource.metadata.namespace,
        settings=settings(),
        role=role,
    )
    return replace(made, **overrides)


def stored(
    item: StoredRevision,
    *,
    number: int = 1,
    created: datetime = CREATED,
    name: str = NAME,
    namespace: str = NAMESPACE,
) -> Manifest:
    """A revision's ControllerRevision as the API server returns it."""
    manifest = build_revision(item, namespace=namespace, endpoint=name, next_number=number)
    metadata = manifest["metadata"] | {
        "creationTimestamp": created.isoformat(),
        "uid": f"revision-{item.name}",
    }
    return manifest | {"metadata": metadata}


def deployment(
    process: str,
    *,
    pool: str = "default",
    name: str = NAME,
    replicas: int = 1,
    conditions: Iterable[Manifest] = (),
    backend_key_digest: str | None = None,
    **metadata: Any,
) -> Manifest:
    """A live Deployment whose rollout is done."""
    annotations = {}
    if backend_key_digest is not None:
        annotations["puna.dev/backend-key-digest"] = backend_key_digest
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{name}-{pool}-{process}",
            "namespace": NAMESPACE,
            "labels": endpoint_labels(name, "llama-server", pool=pool, process=process),
            "generation": 1,
            **metadata,
        },
        "spec": {"replicas": replicas, "template": {"metadata": {"annotations": annotations}}},
        "status": {
            "observedGeneration": 1,
            "updatedReplicas": replicas,
            "conditions": list(conditions),
        },
    }


def pod(
    process: str,
    *,
    name: str | None = None,
    pool: str = "default",
    endpoint_name: str = NAME,
    ready: bool = True,
    phase: str = "Running",
    fetch: Manifest | None = None,
    server: Manifest | None = None,
    conditions: Iterable[Manifest] = (),
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Manifest:
    """A llama-server Pod; `fetch` and `server` are the states of its two containers."""
    containers = {
        "initContainerStatuses": ("fetch", fetch),
        "containerStatuses": ("llama-server", server),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or f"{endpoint_name}-{pool}-{process}-1",
            "namespace": NAMESPACE,
            "labels": endpoint_labels(endpoint_name, "llama-server", pool=pool, process=process),
            **metadata,
        },
        "status": {
            "phase": phase,
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False"},
                *conditions,
            ],
            **{
                member: [{"name": container, **state}]
                for member, (container, state) in containers.items()
                if state is not None
            },
            **(status or {}),
        },
    }


def running() -> Manifest:
    return {"state": {"running": {"startedAt": NOW.isoformat()}}}


def waiting(reason: str, message: str = "", *, last: Manifest | None = None) -> Manifest:
    """State of a container that waits, after an end if `last` is one."""
    state: Manifest = {"state": {"waiting": {"reason": reason, "message": message}}}
    return state | ({"lastState": last["state"]} if last else {})


def terminated(message: str = "", *, code: int = 1, reason: str = "Error") -> Manifest:
    return {"state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}


def unschedulable(message: str = "0/1 nodes are available") -> Manifest:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }


def router(
    name: str = "puna-router-1", *, reachable: bool = True, state: EndpointState | None = None
) -> RouterObservation:
    return RouterObservation(pod=name, reachable=reachable, state=state)


def router_state(
    digest: str | None = None,
    *,
    phase: EndpointPhase = EndpointPhase.APPLIED,
    message: str | None = None,
    healthy: int = 1,
) -> EndpointState:
    backend = BackendState(address="10.0.0.1", port=20000, process="00000000", healthy=True)
    return EndpointState(digest=digest, phase=phase, message=message, backends=(backend,) * healthy)


def router_namespace(*endpoints: LLMEndpoint) -> RouterNamespace:
    return RouterNamespace(NAMESPACE, endpoints or (endpoint(),))

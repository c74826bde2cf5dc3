"""Triggers: who has to look again after a change, and how soon. Pure over the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from puna.api.llmendpoint import LLMEndpoint
from puna.api.model_source import TrainingJobReference
from puna.api.trainingjob import TrainingJob
from puna.core.keyed_queue import Key
from puna.core.naming import (
    ANNOTATION_ABORT,
    ANNOTATION_PROMOTE,
    ANNOTATION_RETRY,
    BACKEND_KEY_NAME,
    COMPONENT,
    COMPONENT_ROUTER,
    ROUTER_NAME,
)
from puna.core.ownership import is_controlled_by
from puna.core.plan import Manifest, Ref
from puna.core.readiness import condition_of, is_ready
from puna.endpoint.follow import follows
from puna.store import Change, endpoint_of, ref_of, training_job_of

ENDPOINT: Final = LLMEndpoint.kind
TRAINING_JOB: Final = TrainingJob.kind
NAMESPACE: Final = "Namespace"
"""Kind of the keys of namespaces' routers; it is not watched itself."""

SETTLE_SECONDS: Final = 0.2
"""Changes that controllers make come in flocks: wait for the flock before looking."""
ANCHOR_SECONDS: Final = 2.0
"""Time in which endpoints that come and go are gathered for one write of the anchor."""
ROUTER_LOSS_SECONDS: Final = 1.0
"""Time for another router to take over before every endpoint is told that there is none."""


_EXTERNAL_SECRETS: Final = ("apiKeySecretRef", "caSecretRef")


class Wake(NamedTuple):
    """One key to look at."""

    key: Key
    delay: float = 0.0
    urgent: bool = False


class Lookup(Protocol):
    """What triggers read of the store."""

    def find(self, kind: str, ref: Ref) -> Manifest | None:
        """Return an object."""

    def all(self, kind: str) -> Iterable[Manifest]:
        """Return all objects of a kind."""

    def in_namespace(self, kind: str, namespace: str) -> Iterable[Manifest]:
        """Return the objects of a kind in a namespace."""

    def labelled(self, instance: Ref) -> Iterable[Manifest]:
        """Return the objects with the labels of an endpoint or a router."""

    def owned_by(self, uid: str) -> Iterable[Manifest]:
        """Return the objects that name an owner."""


def endpoint_key(ref: Ref) -> Key:
    """Return the key of an LLMEndpoint."""
    return Key(ENDPOINT, ref)


def training_key(ref: Ref) -> Key:
    """Return the key of a TrainingJob."""
    return Key(TRAINING_JOB, ref)


def namespace_key(namespace: str) -> Key:
    """Return the key of a namespace's router."""
    return Key(NAMESPACE, Ref(namespace, ROUTER_NAME))


def wakes(change: Change, store: Lookup) -> Iterator[Wake]:
    """Yield who has to look again after a change."""
    manifest = change.manifest
    kind = manifest["kind"]
    if kind == ENDPOINT:
        yield from _endpoint_changed(change, store)
    elif kind == TRAINING_JOB:
        yield from _training_job_changed(change, store)
    elif kind == "Preset":
        yield from _preset_changed(manifest, store)
    elif kind == "Pod" and _component(manifest) == COMPONENT_ROUTER:
        yield from _router_pod_changed(change, store)
    elif kind == "Secret":
        yield Wake(namespace_key(ref_of(manifest).namespace))
        yield from _backend_key_changed(change, store)
    else:
        yield from _child_changed(change)


def initial_wakes(store: Lookup) -> Iterator[Wake]:
    """Yield everybody after a start; those that have no children yet go first."""
    namespaces = set()
    for manifest in store.all(ENDPOINT):
        ref = ref_of(manifest)
        namespaces.add(ref.namespace)
        uid = manifest["metadata"]["uid"]
        started = any(is_controlled_by(child, uid) for child in store.owned_by(uid))
        yield Wake(endpoint_key(ref), urgent=not started)
    for manifest in store.all(TRAINING_JOB):
        yield Wake(training_key(ref_of(manifest)))
    for namespace in sorted(namespaces):
        absent = store.find("ConfigMap", Ref(namespace, ROUTER_NAME)) is None
        yield Wake(namespace_key(namespace), urgent=absent)


def _endpoint_changed(change: Change, store: Lookup) -> Iterator[Wake]:
    before, after = change
    ref = ref_of(change.manifest)
    if _identity(before) != _identity(after):
        absent = store.find("ConfigMap", Ref(ref.namespace, ROUTER_NAME)) is None
        yield Wake(
            namespace_key(ref.namespace), delay=0.0 if absent else ANCHOR_SECONDS, urgent=absent
        )
    if after is None:
        return
    if _secrets(before) != _secrets(after):
        yield Wake(namespace_key(ref.namespace), urgent=True)
    if before is None or content(before) != content(after) or _orders(before) != _orders(after):
        yield Wake(endpoint_key(ref), urgent=True)
    else:
        yield Wake(endpoint_key(ref), delay=SETTLE_SECONDS)


def _secrets(endpoint: Manifest | None) -> list[Any]:
    """Return the parts of a spec that name Secrets for the router to read."""
    spec = endpoint.get("spec", {}) if endpoint else {}
    named = [spec.get("access", {}).get("apiKeySecretRef")]
    for external in spec.get("externalEndpoints", ()):
        named += [external.get(name) for name in _EXTERNAL_SECRETS]
    return [ref for ref in named if ref]


def _orders(endpoint: Manifest) -> list[str | None]:
    """Return what people order of a canary."""
    annotations = endpoint["metadata"].get("annotations", {})
    return [annotations.get(name) for name in (ANNOTATION_PROMOTE, ANNOTATION_ABORT)]


def _training_job_changed(change: Change, store: Lookup) -> Iterator[Wake]:
    before, after = change
    ref = ref_of(change.manifest)
    if after is not None:
        new = before is None or content(before) != content(after) or _retry(before) != _retry(after)
        yield Wake(training_key(ref), delay=0.0 if new else SETTLE_SECONDS, urgent=new)
    if before is not None and after is not None and _artifacts(before) == _artifacts(after):
        return
    sides = [side["metadata"] for side in change if side is not None]
    for endpoint in store.in_namespace(ENDPOINT, ref.namespace):
        named = endpoint["spec"]["model"].get("trainingJobRef")
        if named is None:
            continue
        followed = TrainingJobReference.model_validate(named)
        if any(follows(followed, metadata) for metadata in sides):
            yield Wake(endpoint_key(ref_of(endpoint)), urgent=True)


def _retry(job: Manifest) -> str | None:
    retry: str | None = job["metadata"].get("annotations", {}).get(ANNOTATION_RETRY)
    return retry


def _artifacts(job: Manifest) -> Any:
    """Return what an endpoint that follows a TrainingJob depends on."""
    metadata, status = job["metadata"], job.get("status", {})
    complete = condition_of(job, "Complete")
    return metadata["uid"], metadata.get("labels"), status.get("artifacts"), complete


def _preset_changed(preset: Manifest, store: Lookup) -> Iterator[Wake]:
    ref = ref_of(preset)
    for endpoint in store.in_namespace(ENDPOINT, ref.namespace):
        spec = endpoint["spec"]
        if spec.get("presetRef", {}).get("name") == ref.name or ref.name in spec.get("presets", ()):
            yield Wake(endpoint_key(ref_of(endpoint)), urgent=True)


def _router_pod_changed(change: Change, store: Lookup) -> Iterator[Wake]:
    """Wake those who wait for a router, or everybody once there is none."""
    if not _is_news(change):
        return
    namespace = ref_of(change.manifest).namespace
    yield Wake(namespace_key(namespace))
    lost = not any(map(is_ready, router_pods(store, namespace)))
    for endpoint in store.in_namespace(ENDPOINT, namespace):
        if lost:
            yield Wake(endpoint_key(ref_of(endpoint)), delay=ROUTER_LOSS_SECONDS)
        elif not _says_ready(endpoint):
            yield Wake(endpoint_key(ref_of(endpoint)))


def _backend_key_changed(change: Change, store: Lookup) -> Iterator[Wake]:
    """Wake all endpoints of a namespace: no server starts without the key, or keeps an old one."""
    before, after = change
    manifest = change.manifest
    if manifest["metadata"]["name"] != BACKEND_KEY_NAME:
        return
    if before is not None and after is not None and before.get("data") == after.get("data"):
        return
    for endpoint in store.in_namespace(ENDPOINT, ref_of(manifest).namespace):
        yield Wake(endpoint_key(ref_of(endpoint)), urgent=True)


def _child_changed(change: Change) -> Iterator[Wake]:
    before, after = change
    is_pod = change.manifest["kind"] == "Pod"
    urgent = not is_pod and (
        before is not None and (after is None or content(before) != content(after))
    )
    delay = 0.0 if urgent or (is_pod and _is_news(change)) else SETTLE_SECONDS
    sides = [side for side in change if side is not None]
    jobs = {ref for ref in map(training_job_of, sides) if ref is not None}
    for job in jobs:
        yield Wake(training_key(job), 0.0 if is_pod else delay, urgent)
    if jobs:
        return
    for ref in {endpoint_of(side) for side in sides}:
        if ref is not None:
            yield Wake(endpoint_key(ref), delay, urgent)
        elif not is_pod:
            yield Wake(namespace_key(ref_of(change.manifest).namespace), delay)


def router_pods(store: Lookup, namespace: str) -> list[Manifest]:
    """Return the Pods of a namespace's router."""
    return [
        manifest
        for manifest in store.labelled(Ref(namespace, ROUTER_NAME))
        if manifest["kind"] == "Pod" and _component(manifest) == COMPONENT_ROUTER
    ]


def _is_news(change: Change) -> bool:
    """Return whether a Pod's readiness changed or the Pod is gone: people wait for that."""
    before, after = change
    return after is None or (before is not None and is_ready(before)) != is_ready(after)


def _says_ready(endpoint: Manifest) -> bool:
    return condition_of(endpoint, "Ready") == "True"


def _component(manifest: Manifest) -> str | None:
    component: str | None = manifest["metadata"].get("labels", {}).get(COMPONENT)
    return component


def _identity(manifest: Manifest | None) -> tuple[str, bool] | None:
    """Return what the anchor's owners depend on."""
    if manifest is None:
        return None
    metadata = manifest["metadata"]
    return metadata["uid"], "deletionTimestamp" in metadata


def content(manifest: Manifest) -> tuple[object, ...]:
    """Return everything that people or other managers decide, and controllers leave alone."""
    metadata = manifest["metadata"]
    members = {
        name: value
        for name, value in manifest.items()
        if name not in {"metadata", "status", "apiVersion", "kind"}
    }
    return (
        metadata["uid"],
        "deletionTimestamp" in metadata,
        metadata.get("labels"),
        metadata.get("ownerReferences"),
        members,
    )

"""Observation: reads what one plan may see into a value. Decides nothing about it."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from puna.api.conditions import find
from puna.api.llmendpoint import LLMEndpoint
from puna.api.model_source import TrainingJobReference
from puna.api.preset import Preset
from puna.api.reasons import ConditionType
from puna.api.trainingjob import TrainingJob
from puna.context import Context
from puna.core.naming import BACKEND_KEY_MEMBER, BACKEND_KEY_NAME, ROUTER_NAME
from puna.core.ownership import field_set, is_controlled_by
from puna.core.plan import Manifest, Ref
from puna.core.readiness import is_ready
from puna.endpoint.accept import claim_names, secret_names
from puna.endpoint.diagnosis import is_fetching
from puna.endpoint.effective import preset_names
from puna.endpoint.follow import followed, follows
from puna.endpoint.golden import GoldenReport, golden_run
from puna.endpoint.observed import ObservedEndpoint, RouterObservation
from puna.namespace.observed import ObservedNamespace, RouterNamespace
from puna.observe_routers import observe_routers
from puna.parsed import InvalidResourceError
from puna.store import Store, ref_of
from puna.triggers import ENDPOINT, TRAINING_JOB, endpoint_key, router_pods
from puna_fetch.config import Progress
from puna_router.config import CONFIG_KEY, LABEL_PROCESS, config_digest

KEY_BYTES: Final = 32
NEW_SECONDS: Final = 2.0
FETCH_SECONDS: Final = 2.0
"""From a further line of a fetch to the look that shows it."""
"""Age up to which a Deployment's Pods are expected to appear."""
SECOND: Final = timedelta(seconds=1)


async def observe_endpoint(context: Context, endpoint: LLMEndpoint) -> ObservedEndpoint:
    """Read the facts about one LLMEndpoint."""
    store, namespace = context.store, endpoint.metadata.namespace
    ref = Ref(namespace, endpoint.metadata.name)
    children = tuple(children_of(store, endpoint.metadata.uid))
    pods = tuple(pods_of(store, ref))
    document = document_of(children)
    asked = needs_router_state(
        endpoint, children, pods, known=context.acknowledged.get(ref) == document
    )
    routers, unread = await observe_routers(
        context, ref, asked=asked, counting=_has_analysis(endpoint)
    )
    if asked and document is not None and _run_by_all(routers, document):
        context.acknowledged[ref] = document
    jobs = _jobs(context, endpoint)
    meant = followed(endpoint, jobs, children)
    return ObservedEndpoint(
        children=children,
        pods=pods,
        presets=_presets(context, endpoint),
        missing_secrets=await _missing_secrets(context, endpoint),
        claims=await _claims(context, endpoint if meant is None else meant.endpoint),
        jobs=jobs,
        routers=routers,
        routers_asked=asked,
        unread=unread,
        progress=_progress(context, ref, pods),
        golden=_golden(context, endpoint, children, pods),
        backend_key=backend_key(store, namespace),
        router_obstacle=context.obstacles.get(namespace),
    )


async def observe_namespace(context: Context, resource: RouterNamespace) -> ObservedNamespace:
    """Read the facts about the router of one namespace."""
    return ObservedNamespace(
        children=tuple(namespace_children(context.store, resource.namespace)),
        backend_key=backend_key(context.store, resource.namespace),
        fresh_key=secrets.token_urlsafe(KEY_BYTES),
    )


def find_endpoint(context: Context, ref: Ref) -> LLMEndpoint | None:
    """Return an LLMEndpoint, unless it is gone or going.

    Raises:
        InvalidResourceError: its spec cannot be read.
    """
    manifest = context.store.find(ENDPOINT, ref)
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        context.acknowledged.pop(ref, None)
        context.turns.pop(endpoint_key(ref), None)
        context.asking.stop(ref)
        return None
    return context.endpoints.parse(manifest)


def find_namespace(context: Context, ref: Ref) -> RouterNamespace | None:
    """Return a namespace with those endpoints that stay; None where there are none."""
    staying = []
    for manifest in context.store.in_namespace(ENDPOINT, ref.namespace):
        if "deletionTimestamp" in manifest["metadata"]:
            continue
        try:
            staying.append(context.endpoints.parse(manifest))
        except InvalidResourceError:
            continue  # its own pass says so
    if not staying:
        return None
    staying.sort(key=lambda endpoint: endpoint.metadata.uid)
    return RouterNamespace(ref.namespace, tuple(staying))


def anchor_of(store: Store, namespace: str) -> Manifest | None:
    """Return the namespace's anchor, if it is there and ours."""
    anchor = store.find("ConfigMap", Ref(namespace, ROUTER_NAME))
    if anchor is None or field_set(anchor, anchor["apiVersion"]) is None:
        return None
    return None if "deletionTimestamp" in anchor["metadata"] else anchor


def namespace_children(store: Store, namespace: str) -> Iterable[Manifest]:
    """Yield the anchor and what it owns."""
    anchor = anchor_of(store, namespace)
    if anchor is not None:
        yield anchor
        yield from children_of(store, anchor["metadata"]["uid"])


def backend_key(store: Store, namespace: str) -> Manifest | None:
    """Return the Secret with the backend key, if it is there and the anchor's."""
    secret = store.find("Secret", Ref(namespace, BACKEND_KEY_NAME))
    anchor = anchor_of(store, namespace)
    if secret is None or anchor is None or not is_controlled_by(secret, anchor["metadata"]["uid"]):
        return None
    return secret


def children_of(store: Store, uid: str) -> Iterable[Manifest]:
    """Yield the objects whose controller an owner is."""
    return (item for item in store.owned_by(uid) if is_controlled_by(item, uid))


def pods_of(store: Store, endpoint: Ref) -> Iterable[Manifest]:
    """Yield the Pods that an endpoint's Deployments made."""
    for manifest in store.labelled(endpoint):
        if manifest["kind"] == "Pod" and any(
            owner["kind"] == "ReplicaSet" and owner["name"].startswith(f"{endpoint.name}-")
            for owner in manifest["metadata"].get("ownerReferences", ())
        ):
            yield manifest


def document_of(children: Iterable[Manifest]) -> str | None:
    """Return the digest of the document that the routers are given, once there is one."""
    return next(
        (
            config_digest(child["data"][CONFIG_KEY])
            for child in children
            if child["kind"] == "ConfigMap" and CONFIG_KEY in child.get("data", {})
        ),
        None,
    )


def needs_router_state(
    endpoint: LLMEndpoint,
    children: Iterable[Manifest],
    pods: Iterable[Manifest],
    *,
    known: bool,
) -> bool:
    """Return whether a plan depends on what the routers serve.

    So it is while a server could answer and the endpoint is not Ready, while an old process waits
    for the routers to let go of it, and while it is not known that they run the present document.
    """
    ready = find(endpoint.status.conditions, ConditionType.READY)
    processes = {
        child["metadata"].get("labels", {}).get(LABEL_PROCESS)
        for child in children
        if child["kind"] == "Deployment"
    }
    settled = ready is not None and ready.status == "True" and len(processes) <= 1 and known
    return not settled and (bool(endpoint.spec.external_endpoints) or any(map(is_ready, pods)))


def starting_seconds(observed: ObservedEndpoint, now: datetime) -> float:
    """Return how long Pods of a new Deployment may take to be made and placed; 0 if all are.

    Under a quota, or without controllers, they never are: a Deployment is new for two seconds.
    """
    placed = Counter(
        pod["metadata"]["labels"].get(LABEL_PROCESS)
        for pod in observed.pods
        if pod.get("status", {}).get("conditions")
    )
    ages = [
        (now - datetime.fromisoformat(child["metadata"]["creationTimestamp"])) / SECOND
        for child in observed.children
        if child["kind"] == "Deployment"
        and placed[child["metadata"]["labels"].get(LABEL_PROCESS)] < child["spec"]["replicas"]
    ]
    return max((NEW_SECONDS - age for age in ages if 0 <= age < NEW_SECONDS), default=0.0)


def _has_analysis(endpoint: LLMEndpoint) -> bool:
    """Return whether what routers have counted decides about a canary."""
    canary = endpoint.spec.rollout.canary
    analysis = canary.analysis if canary is not None else None
    return analysis is not None and analysis.min_requests > 0


def _run_by_all(routers: Iterable[RouterObservation], document: str) -> bool:
    """Return whether routers answer, and all that do run the document."""
    states = [router.state for router in routers if router.reachable]
    return bool(states) and all(state is not None and state.digest == document for state in states)


def _presets(context: Context, endpoint: LLMEndpoint) -> dict[str, Preset]:
    namespace = endpoint.metadata.namespace
    found = {
        name: context.store.find(Preset.kind, Ref(namespace, name))
        for name in preset_names(endpoint.spec)
    }
    return {
        name: context.presets.parse(manifest)
        for name, manifest in found.items()
        if manifest is not None
    }


def _jobs(context: Context, endpoint: LLMEndpoint) -> tuple[TrainingJob, ...]:
    """Return the TrainingJobs that an endpoint follows; what cannot be read says so itself."""
    ref = endpoint.spec.model.training_job_ref
    if ref is None:
        return ()
    found = []
    for manifest in _named_or_selected(context.store, endpoint.metadata.namespace, ref):
        if "deletionTimestamp" in manifest["metadata"]:
            continue
        with suppress(InvalidResourceError):
            found.append(context.training_jobs.parse(manifest))
    return tuple(sorted(found, key=lambda job: job.metadata.name))


def _named_or_selected(
    store: Store, namespace: str, ref: TrainingJobReference
) -> Iterable[Manifest]:
    if ref.name is not None:
        named = store.find(TRAINING_JOB, Ref(namespace, ref.name))
        return () if named is None else (named,)
    return (
        job for job in store.in_namespace(TRAINING_JOB, namespace) if follows(ref, job["metadata"])
    )


async def _missing_secrets(context: Context, endpoint: LLMEndpoint) -> frozenset[str]:
    namespace = endpoint.metadata.namespace
    return frozenset(
        [
            name
            for name in secret_names(endpoint.spec)
            if not await context.references.has_secret(Ref(namespace, name))
        ]
    )


async def _claims(context: Context, endpoint: LLMEndpoint) -> dict[str, Manifest]:
    namespace = endpoint.metadata.namespace
    found = {
        name: await context.references.claim(Ref(namespace, name))
        for name in claim_names(endpoint.spec.model)
    }
    return {name: claim for name, claim in found.items() if claim is not None}


def _progress(context: Context, ref: Ref, pods: Iterable[Manifest]) -> dict[str, Progress]:
    """Return the last progress of every Pod that fetches, and have its log followed."""

    def news(before: Progress | None, _said: Progress) -> None:
        delay = 0.0 if before is None else FETCH_SECONDS
        context.wakeups.wake(endpoint_key(ref), delay=delay)

    found = {
        pod["metadata"]["name"]: context.fetch_logs.progress(ref_of(pod), news)
        for pod in pods
        if is_fetching(pod)
    }
    return {name: progress for name, progress in found.items() if progress is not None}


def _golden(
    context: Context,
    endpoint: LLMEndpoint,
    children: tuple[Manifest, ...],
    pods: tuple[Manifest, ...],
) -> GoldenReport | None:
    """Return what a candidate has answered to its golden prompts, and have the rest asked."""
    ref = Ref(endpoint.metadata.namespace, endpoint.metadata.name)
    secret = backend_key(context.store, ref.namespace) or {}
    key = secret.get("data", {}).get(BACKEND_KEY_MEMBER)
    run = golden_run(
        endpoint,
        children,
        pods,
        [pod for pod in router_pods(context.store, ref.namespace) if is_ready(pod)],
        key=None if key is None else b64decode(key).decode(),
        encrypted=context.settings.router.tls_secret is not None,
    )
    return context.asking.report(ref, run, lambda: context.wakeups.wake(endpoint_key(ref)))

"""Kinds: which functions read, plan and own each kind of resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.cluster.resources import ENDPOINTS, TRAINING_JOBS
from puna.context import Context
from puna.core.findings import Finding
from puna.core.plan import Manifest, Ref
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.plan import plan as plan_endpoint
from puna.endpoint.unreadable import unreadable_status
from puna.kind import Kind, StoredStatus
from puna.namespace.observed import ObservedNamespace, RouterNamespace
from puna.namespace.plan import plan as plan_namespace
from puna.observe import (
    anchor_of,
    find_endpoint,
    find_namespace,
    observe_endpoint,
    observe_namespace,
    starting_seconds,
)
from puna.observe_training import find_training_job, observe_training
from puna.store import Store, ref_of
from puna.training.observed import ObservedTraining
from puna.training.plan import plan as plan_training
from puna.training.unreadable import unreadable_status as unreadable_training
from puna.triggers import ENDPOINT, NAMESPACE, TRAINING_JOB, endpoint_key


def _endpoint_owner(_: Store, endpoint: LLMEndpoint) -> Manifest | None:
    return endpoint.owner_reference()


def _namespace_owner(store: Store, resource: RouterNamespace) -> Manifest | None:
    """Return the anchor as an owner; None while it is the only child."""
    anchor = anchor_of(store, resource.namespace)
    if anchor is None:
        return None
    return {
        "apiVersion": anchor["apiVersion"],
        "kind": anchor["kind"],
        "name": anchor["metadata"]["name"],
        "uid": anchor["metadata"]["uid"],
        "controller": True,
    }


def _tell_endpoints(context: Context, ref: Ref, obstacle: Finding | None) -> None:
    """Let the endpoints of a namespace say what keeps them from having a router."""
    if context.obstacles.get(ref.namespace) == obstacle:
        return
    if obstacle is None:
        del context.obstacles[ref.namespace]
    else:
        context.obstacles[ref.namespace] = obstacle
    for manifest in context.store.in_namespace(ENDPOINT, ref.namespace):
        context.wakeups.wake(endpoint_key(ref_of(manifest)))


LLM_ENDPOINT: Final[Kind[LLMEndpoint, ObservedEndpoint, LLMEndpointStatus]] = Kind(
    name=ENDPOINT,
    find=find_endpoint,
    observe=observe_endpoint,
    plan=plan_endpoint,
    owner=_endpoint_owner,
    status=StoredStatus(ENDPOINTS, lambda endpoint: endpoint.status, unreadable_status),
    tell=None,
    first=frozenset({"Deployment"}),
    always=("Deployment", "ControllerRevision", "ConfigMap", "Service"),
    settles=starting_seconds,
)
TRAINING: Final[Kind[TrainingJob, ObservedTraining, TrainingJobStatus]] = Kind(
    name=TRAINING_JOB,
    find=find_training_job,
    observe=observe_training,
    plan=plan_training,
    owner=lambda _, job: job.owner_reference(),
    status=StoredStatus(TRAINING_JOBS, lambda job: job.status, unreadable_training),
    tell=None,
    first=frozenset(),
    always=("ConfigMap", "Job"),
    settles=lambda *_: 0.0,
)
ROUTER_NAMESPACE: Final[Kind[RouterNamespace, ObservedNamespace, Finding | None]] = Kind(
    name=NAMESPACE,
    find=find_namespace,
    observe=observe_namespace,
    plan=plan_namespace,
    owner=_namespace_owner,
    status=None,
    tell=_tell_endpoints,
    first=None,
    always=(),
    settles=lambda *_: 0.0,
)
KINDS: Final[Mapping[str, Kind[Any, Any, Any]]] = {
    LLM_ENDPOINT.name: LLM_ENDPOINT,
    TRAINING.name: TRAINING,
    ROUTER_NAMESPACE.name: ROUTER_NAMESPACE,
}

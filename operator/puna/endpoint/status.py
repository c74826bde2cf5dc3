"""The status of an endpoint: what was observed, told for people and for programs."""

from __future__ import annotations

from typing import Final

from puna.api.conditions import find, merge
from puna.api.llmendpoint import (
    LLMEndpoint,
    LLMEndpointStatus,
    RevisionStatus,
    Summary,
)
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.core.naming import COMPONENT, COMPONENT_MODEL, LABEL_ENDPOINT
from puna.core.plan import Event
from puna.endpoint.judgement import View, judge
from puna.endpoint.revision import StoredRevision
from puna_fetch.config import file_name

OF_SCALING: Final = frozenset({Reason.SCALING, Reason.NO_REPLICAS})
OF_ROLLOUT: Final = frozenset(
    {Reason.ROLLING_OUT, Reason.WAITING_FOR_REPLICAS, Reason.FETCHING, Reason.LOADING}
)


def build_status(
    endpoint: LLMEndpoint,
    view: View,
    *,
    revisions: tuple[StoredRevision, ...],
    public_url: str,
) -> LLMEndpointStatus:
    """Return the complete status that follows the endpoint's present one."""
    pools = view.census.pool_status(view.pools)
    name, namespace = endpoint.metadata.name, endpoint.metadata.namespace
    return LLMEndpointStatus(
        observed_generation=view.generation,
        conditions=merge(endpoint.status.conditions, judge(view)),
        replicas=sum(pool.replicas for pool in pools),
        ready_replicas=sum(pool.ready_replicas for pool in pools),
        selector=f"{COMPONENT}={COMPONENT_MODEL},{LABEL_ENDPOINT}={name}",
        url=public_url.format(endpoint=name, namespace=namespace),
        stable_revision=view.stable.name if view.stable else None,
        fetch=view.fetch,
        pools=pools,
        revisions=tuple(_revision_status(item) for item in revisions),
        summary=_summary(endpoint, view),
    )


def transitions(
    before: LLMEndpointStatus, after: LLMEndpointStatus, view: View
) -> tuple[Event, ...]:
    """Return what has happened between two statuses, each thing once."""
    events: list[Event] = []
    known = {revision.name for revision in before.revisions}
    newest = view.newest
    if newest is not None and newest.name not in known:
        events.append(
            Event(
                "Normal",
                EventReason.REVISION_CREATED,
                f"revision {newest.name} of {newest.data.model.uri}",
            )
        )
    if (
        before.stable_revision is not None
        and after.stable_revision is not None
        and before.stable_revision != after.stable_revision
    ):
        message = f"revision {after.stable_revision} replaced {before.stable_revision}"
        events.append(Event("Normal", EventReason.PROMOTED, message))
    events += _condition_events(before, after)
    return tuple(events)


def _condition_events(before: LLMEndpointStatus, after: LLMEndpointStatus) -> list[Event]:
    """Return an Event for each condition whose status or reason turned for the worse, or Ready."""
    events = []
    was_ready = _is_true(before, ConditionType.READY)
    is_ready = _is_true(after, ConditionType.READY)
    if is_ready and not was_ready:
        events.append(
            Event("Normal", EventReason.BECAME_READY, f"{after.summary.ready} servers are ready")
        )
    told = {
        ConditionType.ACCEPTED: EventReason.REFUSED,
        ConditionType.RESOLVED_REFS: EventReason.REFUSED,
        ConditionType.MODEL_READY: EventReason.MODEL_FAILED,
        ConditionType.PROGRESSING: EventReason.STALLED,
    }
    messages = set()
    for kind, reason in told.items():
        old, new = find(before.conditions, kind), find(after.conditions, kind)
        if new is None or new.status != "False" or new.reason in {Reason.FETCHING, Reason.LOADING}:
            continue
        if (old is None or (old.status, old.reason) != (new.status, new.reason)) and (
            new.message not in messages
        ):
            messages.add(new.message)
            events.append(Event("Warning", reason, f"{new.reason}: {new.message}"))
    ready = find(after.conditions, ConditionType.READY)
    if was_ready and ready is not None and not is_ready and ready.message not in messages:
        events.append(
            Event(
                "Normal" if _is_planned(after, ready.reason) else "Warning",
                EventReason.BECAME_UNREADY,
                f"{ready.reason}: {ready.message}",
            )
        )
    return events


def _is_planned(status: LLMEndpointStatus, reason: Reason) -> bool:
    """Return whether an endpoint is unready because of a change that was asked for."""
    progressing = find(status.conditions, ConditionType.PROGRESSING)
    is_rollout = progressing is not None and progressing.reason is Reason.ROLLING_OUT
    return reason in OF_SCALING or (is_rollout and reason in OF_ROLLOUT)


def _is_true(status: LLMEndpointStatus, kind: ConditionType) -> bool:
    condition = find(status.conditions, kind)
    return condition is not None and condition.status == "True"


def _summary(endpoint: LLMEndpoint, view: View) -> Summary:
    stable = view.stable
    process = stable.process if stable else ""
    pools = ", ".join(
        f"{pool.name} {view.census.ready_of.get((pool.name, process), 0)}/{pool.replicas}"
        for pool in view.pools
    )
    if view.candidate is not None:
        rollout = f"{endpoint.spec.rollout.strategy} -> {view.candidate.name}"
    elif view.refusal or view.unresolved:
        rollout = "Blocked"
    elif view.complete and not view.retiring:
        rollout = "Complete"
    else:
        rollout = "Progressing"
    return Summary(
        ready=f"{view.stable_replicas}/{view.wanted_replicas}",
        model=_model_name((stable.data.model if stable else endpoint.spec.model).uri),
        pools=pools,
        rollout=rollout,
    )


def _model_name(uri: str) -> str:
    """Return the file name in a uri; one that is refused is shown as it is."""
    try:
        return file_name(uri)
    except ValueError:
        return uri


def _revision_status(revision: StoredRevision) -> RevisionStatus:
    return RevisionStatus(
        name=revision.name,
        model=revision.data.model.uri,
        preset=revision.data.preset,
        role=revision.role,
        created_at=revision.created_at,
    )

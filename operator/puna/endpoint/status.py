"""The status of an endpoint: what was observed, told for people and for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from puna.api.analysis import Result
from puna.api.conditions import find, merge
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import (
    CanaryStatus,
    LLMEndpointStatus,
    Outcome,
    RevisionRole,
    RevisionStatus,
    RollbackStatus,
    Summary,
)
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.api.routing import Routing
from puna.core.naming import COMPONENT, COMPONENT_MODEL, LABEL_ENDPOINT
from puna.core.plan import Event
from puna.endpoint.canary import hold_until, present_step
from puna.endpoint.judgement import View, judge
from puna.endpoint.replacement import began_message, gap_message
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout import Rollout
from puna.endpoint.verdict import renewed
from puna_fetch.config import file_name

OF_SCALING: Final = frozenset({Reason.SCALING, Reason.NO_REPLICAS})
OF_ROLLOUT: Final = frozenset(
    {
        Reason.ROLLING_OUT,
        Reason.CANARY_RUNNING,
        Reason.WAITING_FOR_REPLICAS,
        Reason.FETCHING,
        Reason.LOADING,
    }
)
EXPECTED: Final = frozenset(
    {
        Reason.FETCHING,
        Reason.LOADING,
        Reason.CANARY_ABORTED,
        Reason.CANARY_FAILED,
        Reason.ROLLED_BACK,
    }
)
"""Reasons of False conditions that are no fault, or are told by an Event of their own."""


def build_status(
    endpoint: LLMEndpoint,
    view: View,
    *,
    revisions: tuple[StoredRevision, ...],
    routing: Routing,
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
        canary=view.canary,
        replacement=view.replacement,
        rollback=view.rollback,
        routing=routing,
        fetch=view.fetch,
        pools=pools,
        revisions=tuple(_revision_status(item) for item in revisions),
        summary=_summary(endpoint, view),
    )


def canary_status(
    rollout: Rollout, before: CanaryStatus | None, now: datetime
) -> CanaryStatus | None:
    """Return how far a canary has come, `before` being what was told last; None without one."""
    candidate, canary = rollout.candidate, rollout.canary
    if candidate is None or canary is None:
        return None
    step = present_step(candidate.position, canary.steps)
    status = CanaryStatus(
        revision=candidate.name,
        weight=rollout.weight,
        step=0 if step is None else step + 1,
        steps=len(canary.steps),
        started_at=candidate.position.since,
        hold_until=hold_until(candidate.position, canary.steps),
    )
    if rollout.verdict is None:
        return status
    same = before is not None and _step(before) == _step(status)
    told = before.verdict if before is not None and same else None
    sparing = status.step > 0
    since = candidate.position.since
    verdict = renewed(told, rollout.verdict, now, sparing=sparing, since=since)
    return status.model_copy(update={"verdict": verdict})


def rollback_status(rollout: Rollout) -> RollbackStatus | None:
    """Return which revision serves, or is to, instead of the one that the spec means, if any."""
    if rollout.instead_of is None:
        return None
    to = rollout.candidate or rollout.stable
    return RollbackStatus(revision=to.name, instead_of=rollout.instead_of)


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
    events += _replacement_events(before, after)
    events += _canary_events(before, after)
    events += _order_events(before, after)
    events += _condition_events(before, after)
    return tuple(events)


def _replacement_events(before: LLMEndpointStatus, after: LLMEndpointStatus) -> list[Event]:
    """Return an Event for a Replace that begins, and for one whose gap is over."""
    old, new = before.replacement, after.replacement
    if new is None or after.stable_revision != new.revision:
        return []
    events = []
    if before.stable_revision != new.revision:
        events.append(Event("Normal", EventReason.REPLACE_BEGAN, began_message(new)))
    is_over = old is not None and old.revision == new.revision and old.gap_ended_at is not None
    if new.gap_ended_at is not None and not is_over:
        events.append(Event("Normal", EventReason.GAP_MEASURED, gap_message(new)))
    return events


def _canary_events(before: LLMEndpointStatus, after: LLMEndpointStatus) -> list[Event]:
    """Return an Event for a step that began, and for a canary that was aborted or failed."""
    events = []
    old, new = before.canary, after.canary
    if new is not None and new.step and (old is None or _step(old) != _step(new)):
        message = (
            f"revision {new.revision} gets {new.weight}% of the requests "
            f"(step {new.step} of {new.steps})"
        )
        events.append(Event("Normal", EventReason.CANARY_ADVANCED, message))
    events += _verdict_events(old, new)
    for revision in sorted(_ended(after, Outcome.ABORTED) - _ended(before, Outcome.ABORTED)):
        message = f"revision {revision} was aborted; {after.stable_revision} serves"
        events.append(Event("Normal", EventReason.CANARY_ABORTED, message))
    failed = _ended(after, Outcome.FAILED) - _ended(before, Outcome.FAILED)
    for item in after.revisions:
        if item.name in failed:
            message = (
                f"revision {item.name} failed ({item.verdict}); {after.stable_revision} serves"
            )
            events.append(Event("Warning", EventReason.CANARY_FAILED, message))
    return events


def _order_events(before: LLMEndpointStatus, after: LLMEndpointStatus) -> list[Event]:
    """Return an Event for a canary that is tried again, and for a rollback that begins or ends."""
    events = []
    rejected = {
        item.name
        for item in before.revisions
        if item.outcome and item.role == RevisionRole.CANDIDATE
    }
    for item in after.revisions:
        if item.name in rejected and not item.outcome and item.role == RevisionRole.CANDIDATE:
            message = f"revision {item.name} is tried again"
            events.append(Event("Normal", EventReason.CANARY_RETRIED, message))
    old, new = before.rollback, after.rollback
    if new is not None and new != old:
        message = f"revision {new.revision} is to serve instead of {new.instead_of}, as ordered"
        events.append(Event("Normal", EventReason.ROLLED_BACK, message))
    if old is not None and new is None:
        message = f"revision {old.revision} no longer serves in place of {old.instead_of}"
        events.append(Event("Normal", EventReason.ROLLBACK_ENDED, message))
    return events


def _verdict_events(old: CanaryStatus | None, new: CanaryStatus | None) -> list[Event]:
    """Return an Event for a verdict that is another one than before; none that nothing is known."""
    if new is None or new.verdict is None:
        return []
    begun = old is None or old.verdict is None or _step(old) != _step(new)
    before = Result.INCONCLUSIVE if begun or old is None else old.verdict and old.verdict.result
    result = new.verdict.result
    if result is before:
        return []
    message = f"revision {new.revision} at {new.weight}%: {result}: {new.verdict.message}"
    kind: Literal["Normal", "Warning"] = "Warning" if result is Result.ERROR else "Normal"
    return [Event(kind, EventReason.CANARY_JUDGED, message)]


def _step(canary: CanaryStatus) -> tuple[str, int, int]:
    return canary.revision, canary.step, canary.weight


def _ended(status: LLMEndpointStatus, outcome: Outcome) -> set[str]:
    """Return the revisions whose canary ended like this."""
    return {item.name for item in status.revisions if item.outcome == outcome}


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
        if new is None or new.status != "False" or new.reason in EXPECTED:
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
    if progressing is not None and progressing.reason is Reason.ROLLED_BACK:
        return True
    under_way = {Reason.ROLLING_OUT, Reason.CANARY_RUNNING}
    is_rollout = progressing is not None and progressing.reason in under_way
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
    if view.refusal or view.unresolved:
        rollout = "Blocked"
    elif view.canary is not None:
        rollout = f"{view.canary.weight}% -> {view.canary.revision}"
    elif view.rollback is not None:
        how = "Rollback ->" if view.candidate else "Rolled back to"
        rollout = f"{how} {view.rollback.revision}"
    elif view.candidate is not None:
        rollout = f"{endpoint.spec.rollout.strategy} -> {view.candidate.name}"
    elif view.rejected is not None:
        rollout = f"{view.rejected.outcome} {view.rejected.name}"
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
        outcome=revision.outcome,
        verdict=revision.verdict,
        created_at=revision.created_at,
        promoted_at=revision.promoted_at,
        lineage=revision.data.lineage,
    )

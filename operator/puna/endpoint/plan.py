"""The plan of an LLMEndpoint: from what is wanted and observed to children, status and events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from puna.api.analysis import CanaryVerdict, Result
from puna.api.conditions import find
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import LLMEndpointStatus, RevisionRole
from puna.api.reasons import ConditionType, Reason
from puna.api.replacement import ReplacementStatus
from puna.api.rollout import RolloutStrategy
from puna.core.findings import Finding, first_finding
from puna.core.naming import BACKEND_KEY_NAME
from puna.core.plan import Manifest, ObjectKey, Plan, key_of
from puna.endpoint.accept import REFERENCE_CHECKS, SPEC_CHECKS, AcceptInput, keys_exist
from puna.endpoint.acknowledgement import rejection, runs, serves
from puna.endpoint.canary import canary_pools, is_overdue
from puna.endpoint.census import take
from puna.endpoint.children import build_children
from puna.endpoint.crashes import crash_verdict
from puna.endpoint.diagnosis import Diagnosis, diagnose, is_fetching, is_loading
from puna.endpoint.effective import pools_of, resolve
from puna.endpoint.follow import followed, not_there_yet
from puna.endpoint.gate import gate_verdict, is_gate_overdue, remembering
from puna.endpoint.judgement import View
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.orders import Orders, read_orders
from puna.endpoint.progress import fetch_status
from puna.endpoint.replacement import announcement, look_at
from puna.endpoint.requeue import look_again
from puna.endpoint.restore import known_revisions, taken_up
from puna.endpoint.revision import StoredRevision, new_revision
from puna.endpoint.rollback import impossible, rollback
from puna.endpoint.rollout import Rollout, history, next_step, retried
from puna.endpoint.rollout_input import RolloutInput
from puna.endpoint.router_config import router_config_name
from puna.endpoint.routing import effective_routing
from puna.endpoint.situation import Situation
from puna.endpoint.split import let_go
from puna.endpoint.standstill import ended_canary, narrowed, running_canary
from puna.endpoint.status import build_status, canary_status, rollback_status, transitions
from puna.settings import Settings
from puna_router.config import LABEL_PROCESS, QueueConfig

LOOK_AGAIN: Final = timedelta(seconds=10)
"""For what no watch tells: missing Secrets, foreign objects."""


def plan(
    endpoint: LLMEndpoint, observed: ObservedEndpoint, settings: Settings, now: datetime
) -> Plan[LLMEndpointStatus]:
    """Return everything that one pass wants to be true."""
    meant = followed(endpoint, observed.jobs, observed.children)
    if meant is None:
        value = AcceptInput(endpoint, observed, settings)
        return _refuse(value, now, refusal=None, unresolved=not_there_yet(endpoint, observed))
    endpoint = meant.endpoint
    value = AcceptInput(endpoint, observed, settings)
    refusal = first_finding(SPEC_CHECKS, value)
    unresolved = first_finding(REFERENCE_CHECKS, value)
    if refusal or unresolved:
        return _refuse(value, now, refusal=refusal, unresolved=unresolved)
    situation = Situation(
        endpoint=endpoint,
        effective=resolve(
            endpoint.metadata.name, endpoint.spec, observed.presets, lineage=meant.lineage
        ),
        observed=observed,
        census=take(observed.children, observed.pods),
        routing=effective_routing(endpoint.spec.routing, settings.router),
        settings=settings,
        now=now,
    )
    return _carry_out(situation, _rollout(situation))


def _refuse(
    value: AcceptInput, now: datetime, *, refusal: Finding | None, unresolved: Finding | None
) -> Plan[LLMEndpointStatus]:
    """Leave the children as they are and say what stands in the way.

    But keys that the spec asks for are required all the same: a wrong field elsewhere must not
    leave open what its owner has closed.
    """
    endpoint, observed = value.endpoint, value.observed
    stored = known_revisions(observed.children)
    stable = _stable(stored)
    ended = stable and ended_canary(endpoint, observed, stored, stable=stable, now=now)
    if ended is not None:
        stored = tuple(ended if item.name == ended.name else item for item in stored)
    view = View(
        name=endpoint.metadata.name,
        generation=endpoint.metadata.generation,
        now=now,
        pools=pools_of(endpoint.spec),
        census=take(observed.children, observed.pods),
        refusal=refusal,
        unresolved=unresolved,
        stable=stable,
        candidate=None,
        canary=endpoint.status.canary if running_canary(stored) else None,
        replacement=endpoint.status.replacement,
        rollback=endpoint.status.rollback,
        external=bool(endpoint.spec.external_endpoints),
        retiring=False,
        problem=None,
        awaited=None,
        fetching=bool(observed.progress),
        fetch=fetch_status(observed.progress),
        loading=False,
        router_ready=bool(observed.routers),
        routers_serve=False,
        rejection=None,
    )
    status = build_status(
        endpoint,
        view,
        revisions=stored,
        routing=effective_routing(endpoint.spec.routing, value.settings.router),
        public_url=value.settings.public_url,
    )
    events = transitions(endpoint.status, status, view)
    children = narrowed(endpoint, observed, stable=stable, ended=ended)
    urgent = frozenset(key_of(child) for child in children if child["kind"] == "ConfigMap")
    return Plan(children or None, status, events, LOOK_AGAIN, partial=True, urgent=urgent)


def _rollout(situation: Situation) -> Rollout:
    """Return the step that follows from what is stored and observed.

    A revision that is gone back to takes over without the steps of a canary.
    """
    effective, census = situation.effective, situation.census
    canary = effective.canary if effective.strategy is RolloutStrategy.CANARY else None
    given = read_orders(situation.endpoint.metadata.annotations)
    orders = given.of(effective.revision)
    children = situation.observed.children
    stored = taken_up(
        known_revisions(children), children, canary=canary, orders=orders, now=situation.now
    )
    back = rollback(given, effective.revision, stored)
    if back is not None:
        wanted, canary, orders = back.to, None, Orders()
    else:
        wanted, stored = _meant(situation, stored, orders)
    process, pools = wanted.process, effective.pools
    analysis = canary.analysis if canary else None
    wanted = remembering(analysis, wanted, situation.observed, situation.now)
    stored = tuple(wanted if item.name == wanted.name else item for item in stored)
    stable = _stable(stored)
    value = RolloutInput(
        wanted=wanted,
        stored=stored,
        strategy=effective.strategy,
        complete={process: census.complete(process, pools)},
        live=census.live,
        pods=census.processes,
        serving=census.serving,
        canary=canary,
        ready=canary is not None and census.complete(process, canary_pools(pools, canary)),
        orders=orders,
        given=given,
        instead_of=back.instead_of if back else None,
        refused=rejection(situation.observed.routers) is not None,
        gate=gate_verdict(analysis, wanted, situation.observed, stable=stable),
        servers=look_at(situation.observed.pods, situation.observed.routers),
        readings=tuple(
            router.reading for router in situation.observed.routers if router.reading is not None
        ),
        unread=situation.observed.unread,
        crashes=crash_verdict(
            situation.observed.pods,
            process,
            stable=stable.process if stable else "",
            since=wanted.position.since,
        ),
    )
    return next_step(value, situation.now)


def _stable(stored: Iterable[StoredRevision]) -> StoredRevision | None:
    return next((item for item in stored if item.role is RevisionRole.STABLE), None)


def _meant(
    situation: Situation, stored: tuple[StoredRevision, ...], orders: Orders
) -> tuple[StoredRevision, tuple[StoredRevision, ...]]:
    """Return the revision that the spec means, and those that are known, it among them if stored.

    One that never served is as this operator renders it. One that was rejected begins anew if that
    is ordered.
    """
    effective, census = situation.effective, situation.census
    wanted = next((item for item in stored if item.name == effective.revision), None)
    if wanted is None or not (wanted.proven or wanted.outcome or wanted.process in census.serving):
        fresh = new_revision(
            effective,
            namespace=situation.namespace,
            settings=situation.settings,
            role=RevisionRole.CANDIDATE,
        )
        for item in stored:
            if item.process == fresh.process and (item.proven or item.process in census.serving):
                fresh = fresh.sharing(item)
                break
        wanted = wanted.renewed(fresh) if wanted else fresh
    wanted = retried(wanted, orders)
    return wanted, tuple(wanted if item.name == wanted.name else item for item in stored)


def _carry_out(situation: Situation, rollout: Rollout) -> Plan[LLMEndpointStatus]:
    """Return the plan of an endpoint that can be served."""
    rollout, document, digests = let_go(situation, rollout)
    view = _view(situation, rollout, digests)
    endpoint, settings = situation.endpoint, situation.settings
    status = build_status(
        endpoint,
        view,
        revisions=history(rollout, situation.history_limit),
        routing=situation.routing,
        public_url=settings.public_url,
    )
    return Plan(
        build_children(situation, rollout, document),
        status,
        transitions(endpoint.status, status, view),
        look_again(view, status, situation.observed, keyed=endpoint.spec.access is not None),
        urgent=_urgent(situation, rollout),
    )


def _urgent(situation: Situation, rollout: Rollout) -> frozenset[ObjectKey]:
    """Return the routers' document where a canary has been rejected: users leave it first."""
    if rollout.rejected is None:
        return frozenset()
    name = router_config_name(situation.name)
    return frozenset({ObjectKey("v1", "ConfigMap", situation.namespace, name)})


def _view(situation: Situation, rollout: Rollout, digests: frozenset[str]) -> View:
    """Return what conditions are judged from."""
    observed, census = situation.observed, situation.census
    newest = rollout.candidate or rollout.stable
    pods = _of_process(observed.pods, newest.process)
    if observed.rejected is not None:
        problem: Diagnosis | None = Diagnosis(Reason.APPLY_REJECTED, observed.rejected)
    elif observed.router_obstacle is not None and not observed.routers:
        obstacle = observed.router_obstacle
        problem = Diagnosis(obstacle.reason, obstacle.message)
    else:
        deployments = [
            item for (_, process), item in census.deployed.items() if process == newest.process
        ]
        problem = diagnose(pods, deployments)
    fetching = any(map(is_fetching, pods))
    refused = rejection(observed.routers)
    serving = serves(observed.routers, digests, backends=situation.wants_servers) or (
        _was_ready(situation) and not refused
    )
    canary = canary_status(rollout, situation.endpoint.status.canary, situation.now)
    return View(
        name=situation.name,
        generation=situation.endpoint.metadata.generation,
        now=situation.now,
        pools=situation.effective.pools,
        census=census,
        refusal=None,
        unresolved=None,
        stable=rollout.stable,
        candidate=rollout.candidate,
        candidate_pools=rollout.candidate_pools(situation.effective.pools),
        rejected=rollout.rejected,
        rollback=rollback_status(rollout),
        order=impossible(
            read_orders(situation.endpoint.metadata.annotations),
            situation.effective.revision,
            rollout.revisions,
        ),
        canary=canary,
        judged=canary is not None and rollout.verdict is not None,
        paused=_is_paused(rollout, canary.verdict if canary else None, situation.now),
        replacement=_replacement(rollout),
        retiring=bool(rollout.retiring),
        changed_at=rollout.changed_at,
        problem=problem,
        awaited=_awaited(situation, rollout),
        fetching=fetching,
        fetch=fetch_status(observed.progress) if fetching else None,
        loading=any(map(is_loading, pods)),
        external=bool(situation.effective.external),
        router_ready=bool(observed.routers),
        routers_serve=serving or not observed.routers_asked,
        routers_behind=observed.routers_asked and not runs(observed.routers, digests),
        rejection=refused,
        closed=keys_exist(situation.endpoint, observed),
    )


def _replacement(rollout: Rollout) -> ReplacementStatus | None:
    """Return the Replace that is to begin, or the one by which the stable revision took over."""
    if rollout.announced and rollout.candidate is not None:
        return rollout.candidate.replacement
    return rollout.stable.replacement


def _is_paused(rollout: Rollout, verdict: CanaryVerdict | None, now: datetime) -> bool:
    """Return whether a canary has not passed in time, by what is told, and waits for people."""
    candidate, canary = rollout.candidate, rollout.canary
    if candidate is None or canary is None or canary.analysis is None or verdict is None:
        return False
    if verdict.result is Result.PASS:
        return False
    if candidate.position.step is None:
        return is_gate_overdue(canary.analysis, verdict, candidate.golden, now)
    seconds = canary.analysis.deadline_seconds
    return is_overdue(candidate.position, canary.steps, deadline_seconds=seconds, now=now)


def _was_ready(situation: Situation) -> bool:
    """Return whether the endpoint is Ready so far: what serves goes on while a router follows."""
    ready = find(situation.endpoint.status.conditions, ConditionType.READY)
    return ready is not None and ready.status == "True"


def _awaited(situation: Situation, rollout: Rollout) -> str | None:
    """Return what has to come or go before the stable revision's Deployments are made."""
    replacement = _replacement(rollout)
    if rollout.announced and replacement is not None:
        grace = rollout.stable.data.template["terminationGracePeriodSeconds"]
        queue = QueueConfig(**situation.routing.queue.model_dump())
        return announcement(replacement, grace=grace, patience=queue.timeout_seconds)
    if rollout.stable.process in situation.census.live:
        return None
    if rollout.waiting_for_old:
        leaving = sorted(
            pod["metadata"]["name"]
            for pod in situation.observed.pods
            if not _of_process((pod,), rollout.stable.process)
        )
        return f"Replace: Pods of the former revision have to end first: {', '.join(leaving)}"
    if situation.backend_key is None:
        return (
            f"Secret {BACKEND_KEY_NAME} is not there yet; it comes with the namespace's router, "
            "see ConfigMap puna-router"
        )
    return None


def _of_process(pods: Iterable[Manifest], process: str) -> tuple[Manifest, ...]:
    return tuple(
        pod for pod in pods if pod["metadata"].get("labels", {}).get(LABEL_PROCESS) == process
    )

"""The plan of an LLMEndpoint: from what is wanted and observed to children, status and events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from puna.api.conditions import find
from puna.api.llmendpoint import LLMEndpoint, LLMEndpointStatus, RevisionRole
from puna.api.reasons import ConditionType, Reason
from puna.api.rollout import RolloutStrategy
from puna.core.findings import Finding, first_finding
from puna.core.naming import BACKEND_KEY_NAME
from puna.core.plan import Manifest, Plan
from puna.endpoint.accept import REFERENCE_CHECKS, SPEC_CHECKS, AcceptInput, keys_exist
from puna.endpoint.acknowledgement import rejection, runs, serves
from puna.endpoint.canary import canary_pools
from puna.endpoint.census import take
from puna.endpoint.children import build_children
from puna.endpoint.diagnosis import Diagnosis, diagnose, is_fetching, is_loading
from puna.endpoint.effective import pools_of, resolve
from puna.endpoint.follow import followed, not_there_yet
from puna.endpoint.judgement import View
from puna.endpoint.observed import ObservedEndpoint, artifact_of
from puna.endpoint.orders import read_orders
from puna.endpoint.progress import fetch_status
from puna.endpoint.requeue import look_again
from puna.endpoint.revision import new_revision, stored_revisions
from puna.endpoint.rollout import Rollout, RolloutInput, history, next_step
from puna.endpoint.router_config import build_router_config, closer, router_config_name
from puna.endpoint.routing import effective_routing
from puna.endpoint.situation import Situation
from puna.endpoint.split import let_go
from puna.endpoint.status import build_status, canary_status, transitions
from puna.settings import Settings
from puna_router.config import CONFIG_KEY, LABEL_PROCESS

LOOK_AGAIN: Final = timedelta(seconds=10)
"""For what no watch tells: missing Secrets, foreign objects."""


def plan(
    endpoint: LLMEndpoint, observed: ObservedEndpoint, settings: Settings, now: datetime
) -> Plan[LLMEndpointStatus]:
    """Return everything that one pass wants to be true."""
    meant = followed(
        endpoint, artifact_of(endpoint.spec.model, observed.artifacts), observed.children
    )
    if meant is None:
        value = AcceptInput(endpoint, observed, settings)
        return _refuse(value, now, refusal=None, unresolved=not_there_yet(endpoint, observed))
    endpoint = meant
    value = AcceptInput(endpoint, observed, settings)
    refusal = first_finding(SPEC_CHECKS, value)
    unresolved = first_finding(REFERENCE_CHECKS, value)
    if refusal or unresolved:
        return _refuse(value, now, refusal=refusal, unresolved=unresolved)
    situation = Situation(
        endpoint=endpoint,
        effective=resolve(endpoint.metadata.name, endpoint.spec, observed.presets),
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
    stored = stored_revisions(observed.children)
    view = View(
        name=endpoint.metadata.name,
        generation=endpoint.metadata.generation,
        now=now,
        pools=pools_of(endpoint.spec),
        census=take(observed.children, observed.pods),
        refusal=refusal,
        unresolved=unresolved,
        stable=next((item for item in stored if item.role is RevisionRole.STABLE), None),
        candidate=None,
        canary=endpoint.status.canary,
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
    return Plan(_closing(endpoint, observed), status, events, LOOK_AGAIN, partial=True)


def _closing(endpoint: LLMEndpoint, observed: ObservedEndpoint) -> tuple[Manifest, ...] | None:
    """Return the router's document with the keys of the spec, if it has others or none."""
    name, namespace = endpoint.metadata.name, endpoint.metadata.namespace
    for child in observed.children:
        if child["kind"] == "ConfigMap" and child["metadata"]["name"] == router_config_name(name):
            document = closer(child.get("data", {}).get(CONFIG_KEY, ""), endpoint.spec.access)
            if document is not None:
                return (build_router_config(document, namespace=namespace, endpoint=name),)
    return None


def _rollout(situation: Situation) -> Rollout:
    """Return the step that follows from what is stored and observed."""
    effective, census = situation.effective, situation.census
    stored = stored_revisions(situation.observed.children)
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
        stored = tuple(wanted if item.name == wanted.name else item for item in stored)
    canary = effective.canary if effective.strategy is RolloutStrategy.CANARY else None
    process, pools = effective.process, effective.pools
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
        orders=read_orders(situation.endpoint.metadata.annotations).of(effective.revision),
        refused=rejection(situation.observed.routers) is not None,
    )
    return next_step(value, situation.now)


def _carry_out(situation: Situation, rollout: Rollout) -> Plan[LLMEndpointStatus]:
    """Return the plan of an endpoint that can be served."""
    rollout, document, digests = let_go(situation, rollout)
    view = _view(situation, rollout, digests)
    endpoint, settings = situation.endpoint, situation.settings
    status = build_status(
        endpoint,
        view,
        revisions=history(rollout, settings.revision_history_limit),
        routing=situation.routing,
        public_url=settings.public_url,
    )
    return Plan(
        build_children(situation, rollout, document),
        status,
        transitions(endpoint.status, status, view),
        look_again(view, status, situation.observed, keyed=endpoint.spec.access is not None),
    )


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
        aborted=rollout.aborted,
        canary=canary_status(rollout),
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


def _was_ready(situation: Situation) -> bool:
    """Return whether the endpoint is Ready so far: what serves goes on while a router follows."""
    ready = find(situation.endpoint.status.conditions, ConditionType.READY)
    return ready is not None and ready.status == "True"


def _awaited(situation: Situation, rollout: Rollout) -> str | None:
    """Return what has to come or go before the stable revision's Deployments are made."""
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

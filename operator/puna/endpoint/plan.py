"""The plan of an LLMEndpoint: from what is wanted and observed to children, status and events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from puna.api.conditions import find
from puna.api.llmendpoint import LLMEndpoint, LLMEndpointStatus, Pool, RevisionRole
from puna.api.reasons import ConditionType, Reason
from puna.core.findings import Finding, first_finding
from puna.core.naming import BACKEND_KEY_MEMBER, BACKEND_KEY_NAME, digest8
from puna.core.plan import Manifest, Plan
from puna.endpoint.accept import REFERENCE_CHECKS, SPEC_CHECKS, AcceptInput
from puna.endpoint.acknowledgement import is_acknowledged, rejection, serves
from puna.endpoint.census import Census, take
from puna.endpoint.deployment import build_deployment, deployed_pool
from puna.endpoint.diagnosis import Diagnosis, diagnose, is_fetching, is_loading
from puna.endpoint.disruption_budget import build_disruption_budget
from puna.endpoint.effective import Effective, pools_of, resolve
from puna.endpoint.judgement import View
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.pod import BACKEND_KEY_DIGEST
from puna.endpoint.progress import fetch_status
from puna.endpoint.revision import (
    StoredRevision,
    build_revision,
    new_revision,
    stored_revisions,
)
from puna.endpoint.rollout import Rollout, RolloutInput, next_step
from puna.endpoint.router_config import build_router_config, endpoint_config
from puna.endpoint.service import build_service
from puna.endpoint.status import build_status, transitions
from puna.settings import Settings
from puna_router.config import LABEL_PROCESS, config_digest

LONGEST_WAIT: Final = timedelta(seconds=10)
LOOK_AGAIN: Final = timedelta(seconds=10)
"""For what no watch tells: missing Secrets, foreign objects."""
PROGRESS_INTERVAL: Final = timedelta(seconds=2)
ROUTER_INTERVAL: Final = timedelta(milliseconds=100)
REJECTED_INTERVAL: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Situation:
    """An endpoint whose spec and references are in order, with all that a plan is made from."""

    endpoint: LLMEndpoint
    effective: Effective
    observed: ObservedEndpoint
    census: Census
    settings: Settings
    now: datetime

    @property
    def name(self) -> str:
        """Name of the endpoint."""
        return self.endpoint.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the endpoint."""
        return self.endpoint.metadata.namespace


def plan(
    endpoint: LLMEndpoint, observed: ObservedEndpoint, settings: Settings, now: datetime
) -> Plan[LLMEndpointStatus]:
    """Return everything that one pass wants to be true."""
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
        settings=settings,
        now=now,
    )
    return _carry_out(situation, _rollout(situation))


def _refuse(
    value: AcceptInput, now: datetime, *, refusal: Finding | None, unresolved: Finding | None
) -> Plan[LLMEndpointStatus]:
    """Leave the children as they are and say what stands in the way."""
    endpoint, observed = value.endpoint, value.observed
    stored = stored_revisions(observed.children)
    view = View(
        generation=endpoint.metadata.generation,
        now=now,
        pools=pools_of(endpoint.spec),
        census=take(observed.children, observed.pods),
        refusal=refusal,
        unresolved=unresolved,
        stable=next((item for item in stored if item.role is RevisionRole.STABLE), None),
        candidate=None,
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
    status = build_status(endpoint, view, revisions=stored, public_url=value.settings.public_url)
    return Plan(None, status, transitions(endpoint.status, status, view), LOOK_AGAIN)


def _rollout(situation: Situation) -> Rollout:
    """Return the step that follows from what is stored and observed."""
    effective, census = situation.effective, situation.census
    stored = stored_revisions(situation.observed.children)
    wanted = next((item for item in stored if item.name == effective.revision), None)
    if wanted is None or not (wanted.proven or wanted.process in census.serving):
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
    value = RolloutInput(
        wanted=wanted,
        stored=stored,
        strategy=effective.strategy,
        complete={effective.process: census.complete(effective.process, effective.pools)},
        live=census.live,
        pods=census.processes,
        serving=census.serving,
    )
    return next_step(value, situation.now)


def _carry_out(situation: Situation, rollout: Rollout) -> Plan[LLMEndpointStatus]:
    """Return the plan of an endpoint that can be served."""
    rollout, document, digests = _let_go(situation, rollout)
    view = _view(situation, rollout, digests)
    endpoint, settings = situation.endpoint, situation.settings
    status = build_status(
        endpoint,
        view,
        revisions=_history(rollout, settings.revision_history_limit),
        public_url=settings.public_url,
    )
    return Plan(
        _children(situation, rollout, document),
        status,
        transitions(endpoint.status, status, view),
        _look_again(view, status, situation.observed),
    )


def _let_go(situation: Situation, rollout: Rollout) -> tuple[Rollout, str, frozenset[str]]:
    """Return the rollout without the former revisions that every router has let go of.

    With it: the document for the routers, and the digests of the documents that send nothing to
    a former revision.
    """
    observed, candidate = situation.observed, rollout.candidate
    warm = (candidate,) if candidate and candidate.process in situation.census.live else ()

    def document(idle: tuple[StoredRevision, ...]) -> str:
        return endpoint_config(
            namespace=situation.namespace,
            effective=situation.effective,
            created=situation.endpoint.metadata.creation_timestamp,
            stable=rollout.stable,
            idle=idle,
            settings=situation.settings.router,
        ).to_json()

    without = document(warm)
    if not rollout.retiring:
        return rollout, without, frozenset({config_digest(without)})
    beside = document((*warm, *rollout.retiring))
    digests = frozenset({config_digest(without), config_digest(beside)})
    acknowledged = is_acknowledged(
        observed.routers,
        digests,
        since=rollout.stable.promoted_at,
        now=situation.now,
        timeout=timedelta(seconds=situation.settings.router_ack_timeout_seconds),
    )
    if acknowledged and (observed.routers_asked or not observed.routers):
        return replace(rollout, retiring=()), without, digests
    return rollout, beside, digests


def _children(situation: Situation, rollout: Rollout, document: str) -> tuple[Manifest, ...]:
    """Return all children in the order of application: what starts Pods comes first."""
    name, namespace, pools = situation.name, situation.namespace, situation.effective.pools
    following = 1 + max((item.number for item in rollout.revisions), default=0)
    revisions = [
        build_revision(item, namespace=namespace, endpoint=name, next_number=following)
        for item in _history(rollout, situation.settings.revision_history_limit)
        if not item.outdated
    ]
    deployments = [
        build_deployment(
            namespace=namespace,
            endpoint=name,
            pool=pool,
            revision=revision,
            strategy=situation.effective.strategy,
            settings=situation.settings,
            backend_key=key,
        )
        for revision, pool in _wanted_servers(situation, rollout)
        if (key := _backend_key(situation, pool, revision)) is not None
    ]
    budgets = [
        budget
        for pool in pools
        if (budget := build_disruption_budget(namespace=namespace, endpoint=name, pool=pool))
    ]
    return (
        *revisions,
        *deployments,
        build_router_config(document, namespace=namespace, endpoint=name),
        *budgets,
        build_service(namespace=namespace, endpoint=name),
    )


def _wanted_servers(
    situation: Situation, rollout: Rollout
) -> Iterable[tuple[StoredRevision, Pool]]:
    """Yield which revision is to run in which pool.

    What a change of revision brings for the pools is for the new one alone: servers that stay until
    it is there are not restarted, whatever else was edited.
    """
    pools = situation.effective.pools
    wanted = {pool.name: pool for pool in pools}
    stable, candidate = rollout.stable, rollout.candidate
    if candidate is not None:
        deployed = _deployed_pools(situation, stable.process)
        for name in (*wanted, *(name for name in deployed if name not in wanted)):
            yield stable, deployed.get(name) or wanted[name]
        stable = candidate
    if not rollout.waiting_for_old:
        for pool in pools:
            yield stable, pool
    for former in rollout.retiring:
        for pool in _deployed_pools(situation, former.process).values():
            yield former, pool


def _deployed_pools(situation: Situation, process: str) -> dict[str, Pool]:
    """Return the pools of a process as they were rendered, with the replicas of today."""
    wanted = {pool.name: pool for pool in situation.effective.pools}
    found = {}
    for (name, owner), deployment in sorted(situation.census.deployed.items()):
        pool = deployed_pool(deployment) or wanted.get(name)
        if owner == process and pool is not None:
            replicas = wanted[name].replicas if name in wanted else pool.replicas
            found[name] = pool.model_copy(update={"replicas": replicas})
    return found


def _backend_key(situation: Situation, pool: Pool, revision: StoredRevision) -> str | None:
    """Return the digest of the key that the servers of a Deployment have to require.

    While the Secret is away a Deployment keeps what it has; before it is there none is made,
    since no Pod could start.
    """
    key = _key(situation.observed)
    if key is not None:
        return digest8(key)
    deployment = situation.census.deployed.get((pool.name, revision.process))
    if deployment is None:
        return None
    metadata = deployment["spec"]["template"]["metadata"]
    digest: str | None = metadata.get("annotations", {}).get(BACKEND_KEY_DIGEST)
    return digest


def _key(observed: ObservedEndpoint) -> str | None:
    secret = observed.backend_key or {}
    key: str | None = secret.get("data", {}).get(BACKEND_KEY_MEMBER)
    return key


def _view(situation: Situation, rollout: Rollout, digests: frozenset[str]) -> View:
    """Return what conditions are judged from."""
    observed, census = situation.observed, situation.census
    newest = rollout.candidate or rollout.stable
    pods = _of_process(observed.pods, newest.process)
    if observed.rejected is not None:
        problem: Diagnosis | None = Diagnosis(Reason.APPLY_REJECTED, observed.rejected)
    else:
        deployments = [
            item for (_, process), item in census.deployed.items() if process == newest.process
        ]
        problem = diagnose(pods, deployments)
    fetching = any(map(is_fetching, pods))
    return View(
        generation=situation.endpoint.metadata.generation,
        now=situation.now,
        pools=situation.effective.pools,
        census=census,
        refusal=None,
        unresolved=None,
        stable=rollout.stable,
        candidate=rollout.candidate,
        retiring=bool(rollout.retiring),
        problem=problem,
        awaited=_awaited(situation, rollout),
        fetching=fetching,
        fetch=fetch_status(observed.progress) if fetching else None,
        loading=any(map(is_loading, pods)),
        router_ready=bool(observed.routers),
        routers_serve=not observed.routers_asked or serves(observed.routers, digests),
        rejection=rejection(observed.routers),
    )


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
    if _key(situation.observed) is None:
        return (
            f"Secret {BACKEND_KEY_NAME} is not there yet; it comes with the namespace's router, "
            "see ConfigMap puna-router"
        )
    return None


def _of_process(pods: Iterable[Manifest], process: str) -> tuple[Manifest, ...]:
    return tuple(
        pod for pod in pods if pod["metadata"].get("labels", {}).get(LABEL_PROCESS) == process
    )


def _history(rollout: Rollout, limit: int) -> tuple[StoredRevision, ...]:
    """Return the active revisions, those that still run, and others to `limit`, newest first."""
    running = {item.name for item in rollout.retiring}
    retired = [item for item in rollout.revisions if item.role is RevisionRole.RETIRED]
    idle = [item.name for item in retired if item.name not in running]
    dropped = set(idle[max(0, limit - len(running)) :])
    return tuple(item for item in rollout.revisions if item.name not in dropped)


def _look_again(
    view: View, status: LLMEndpointStatus, observed: ObservedEndpoint
) -> timedelta | None:
    """Return when to look without being woken; None once everything is told by watches."""
    if observed.rejected is not None:
        return REJECTED_INTERVAL
    if view.retiring and view.stable is not None:
        return _router_interval(view.stable.promoted_at, view.now)
    if view.complete and view.wanted_replicas and not view.routers_serve:
        ready = find(status.conditions, ConditionType.READY)
        return _router_interval(ready.last_transition_time if ready else None, view.now)
    if view.fetching or any(map(is_fetching, observed.pods)):
        return PROGRESS_INTERVAL
    return None


def _router_interval(since: datetime | None, now: datetime) -> timedelta:
    """Return a tenth of the wait so far: a router that does not come round soon has a fault."""
    waited = now - since if since is not None else timedelta()
    return min(max(waited / 10, ROUTER_INTERVAL), LONGEST_WAIT)

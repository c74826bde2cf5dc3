"""Judgement: the conditions of an endpoint, each by a function of the same view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from puna.api.analysis import CanaryVerdict, Result
from puna.api.conditions import Condition
from puna.api.llmendpoint_status import CanaryStatus, FetchStatus, Outcome, RollbackStatus
from puna.api.pool import Pool
from puna.api.reasons import ConditionType, Reason
from puna.api.replacement import ReplacementStatus
from puna.core.findings import Finding
from puna.core.naming import ANNOTATION_ROLLBACK
from puna.endpoint.census import Census
from puna.endpoint.diagnosis import Diagnosis
from puna.endpoint.progress import describe
from puna.endpoint.revision import StoredRevision

LONGEST_MESSAGE: Final = 4096
"""Characters of a condition's message: the API server quotes refused values at any length."""
Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that conditions are judged from."""

    name: str
    """Name of the endpoint."""
    generation: int
    now: datetime
    pools: tuple[Pool, ...]
    census: Census
    refusal: Finding | None
    """Why the spec cannot be carried out."""
    unresolved: Finding | None
    """Which reference is missing or does not fit."""
    stable: StoredRevision | None
    candidate: StoredRevision | None
    retiring: bool
    """Former revisions still run."""
    problem: Diagnosis | None
    """What keeps the newest revision's Pods from serving."""
    awaited: str | None
    """What has to come or go before the stable revision's Deployments are made."""
    fetching: bool
    fetch: FetchStatus | None
    """How far the fetch is, once it has said."""
    loading: bool
    router_ready: bool
    routers_serve: bool
    """Every router that was asked runs the wanted document and sees a healthy backend."""
    rejection: str | None
    """Why a router refused the document."""
    closed: Finding | None = None
    """Why the routers answer no request although everything runs: there are no keys."""
    routers_behind: bool = False
    """A router that was asked does not run the wanted document yet."""
    external: bool = False
    """There are servers outside the cluster."""
    canary: CanaryStatus | None = None
    """Share of the candidate; None where it takes over as a whole."""
    replacement: ReplacementStatus | None = None
    """Replace that is announced, or by which the stable revision took over."""
    candidate_pools: tuple[Pool, ...] = ()
    """Pools with the servers that the candidate is to have."""
    rejected: StoredRevision | None = None
    """The revision that the spec means, if its canary was aborted or failed."""
    rollback: RollbackStatus | None = None
    """The revision that serves, or is to, instead of the one that the spec means."""
    order: Finding | None = None
    """Why an order cannot be carried out."""
    paused: bool = False
    """The canary has not passed in time: people are waited for."""
    judged: bool = False
    """Whether the canary's next step depends on what is measured, told or not."""
    changed_at: datetime | None = None
    """When requests last were taken from a revision that still runs."""

    @property
    def wanted_replicas(self) -> int:
        """Servers that the spec asks for."""
        return sum(pool.replicas for pool in self.pools)

    @property
    def newest(self) -> StoredRevision | None:
        """The revision that the spec means."""
        return self.candidate or self.stable

    @property
    def stable_replicas(self) -> int:
        """Ready servers of the stable revision."""
        return self.census.ready_replicas(self.stable.process) if self.stable else 0

    @property
    def is_rejected(self) -> bool:
        """Whether the API server refused a child: what runs is not what is wanted."""
        return self.problem is not None and self.problem.reason is Reason.APPLY_REJECTED

    @property
    def complete(self) -> bool:
        """Whether the stable revision is the wanted one and all its servers are ready."""
        return (
            self.refusal is None
            and self.unresolved is None
            and not self.is_rejected
            and self.candidate is None
            and self.rejected is None
            and self.rollback is None
            and self.stable is not None
            and self.census.complete(self.stable.process, self.pools)
        )


def judge(view: View) -> tuple[Condition, ...]:
    """Return all conditions, the summary last."""
    judged = (
        _accepted(view),
        _resolved_refs(view),
        _model_ready(view),
        _available(view),
        _progressing(view),
    )
    return (*judged, _ready(view, judged))


def _condition(
    view: View, kind: ConditionType, status: Status, reason: Reason, message: str = ""
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:LONGEST_MESSAGE],
        last_transition_time=view.now.replace(microsecond=0),
        observed_generation=view.generation,
    )


def _accepted(view: View) -> Condition:
    if view.refusal is not None:
        return _condition(
            view, ConditionType.ACCEPTED, "False", view.refusal.reason, view.refusal.message
        )
    return _condition(view, ConditionType.ACCEPTED, "True", Reason.ACCEPTED)


def _resolved_refs(view: View) -> Condition:
    kind = ConditionType.RESOLVED_REFS
    missing = view.unresolved or view.closed or view.order
    if missing is not None:
        return _condition(view, kind, "False", missing.reason, missing.message)
    return _condition(view, kind, "True", Reason.RESOLVED)


def _model_ready(view: View) -> Condition:
    kind = ConditionType.MODEL_READY
    if view.newest is not None and view.newest.process in view.census.serving:
        return _condition(view, kind, "True", Reason.MODEL_LOADED)
    if view.problem is not None and view.problem.of_model:
        return _condition(view, kind, "False", view.problem.reason, view.problem.message)
    if view.fetching:
        message = describe(view.fetch) if view.fetch else "the fetch of the model has begun"
        return _condition(view, kind, "False", Reason.FETCHING, message)
    if view.loading and view.problem is None:
        return _condition(view, kind, "False", Reason.LOADING, "llama-server reads the model")
    return _condition(
        view, kind, "Unknown", Reason.MODEL_UNKNOWN, "no Pod has come as far as the model yet"
    )


def _available(view: View) -> Condition:
    kind = ConditionType.AVAILABLE
    ready, wanted = view.stable_replicas, view.wanted_replicas
    if view.closed is not None:
        return _condition(view, kind, "False", view.closed.reason, view.closed.message)
    if ready and view.router_ready:
        return _condition(view, kind, "True", Reason.REPLICAS_READY)
    external = wanted == 0 and view.external
    if external and view.router_ready:
        message = "replicas is 0, as asked; external servers answer"
        return _condition(view, kind, "True", Reason.EXTERNAL_SERVERS, message)
    if (ready or external) and view.problem is None:
        message = "no router Pod of the namespace is ready; see Deployment puna-router"
        return _condition(view, kind, "False", Reason.ROUTER_NOT_READY, message)
    if wanted == 0 and not external:
        return _condition(view, kind, "False", Reason.NO_REPLICAS, "replicas is 0, as asked")
    if view.candidate is None and view.problem is not None:
        return _condition(view, kind, "False", view.problem.reason, view.problem.message)
    message = view.awaited or f"0 of {wanted} servers are ready"
    return _condition(view, kind, "False", Reason.WAITING_FOR_REPLICAS, message)


def _progressing(view: View) -> Condition:
    kind = ConditionType.PROGRESSING
    obstacle = view.refusal or view.unresolved
    if obstacle is not None:
        return _condition(view, kind, "False", obstacle.reason, obstacle.message)
    if view.complete and not view.retiring:
        return _condition(view, kind, "True", Reason.COMPLETE)
    if view.problem is not None:
        stuck = _stuck(view, view.problem)
        return _condition(view, kind, "False", stuck.reason, stuck.message)
    if view.awaited is not None:
        return _condition(view, kind, "True", Reason.ROLLING_OUT, view.awaited)
    if view.rollback is not None and view.candidate is None:
        message = (
            f"revision {view.rollback.revision} serves instead of {view.rollback.instead_of}, as "
            f"annotation {ANNOTATION_ROLLBACK} orders, until the spec means another revision; to "
            f"take the order back: puna rollback {view.name} --undo"
        )
        return _condition(view, kind, "False", Reason.ROLLED_BACK, message)
    if view.rejected is not None and view.stable is not None:
        failed = view.rejected.outcome is Outcome.FAILED
        how = f"failed ({view.rejected.verdict})" if failed else "was aborted"
        message = (
            f"revision {view.rejected.name} {how}; {view.stable.name} serves until the spec, "
            "or the Preset that it names, means another revision; to try it again: "
            f"puna retry {view.name}"
        )
        reason = Reason.CANARY_FAILED if failed else Reason.CANARY_ABORTED
        return _condition(view, kind, "False", reason, message)
    pools = view.pools if view.candidate is None else view.candidate_pools or view.pools
    ready = view.census.ready_replicas(view.newest.process) if view.newest else 0
    count = f"{ready} of {sum(pool.replicas for pool in pools)} servers are ready"
    if view.candidate is not None and view.stable is not None:
        if view.canary is not None and view.canary.verdict is not None and view.paused:
            message = _paused(view.name, view.canary, view.canary.verdict)
            return _condition(view, kind, "False", Reason.CANARY_PAUSED, message)
        if view.canary is not None and view.canary.step:
            complete = view.census.complete(view.candidate.process, pools)
            message = _canary(view, view.canary, waits_for=None if complete else count)
            return _condition(view, kind, "True", Reason.CANARY_RUNNING, message)
        message = f"revision {view.candidate.name}: {count}; {view.stable.name} serves"
        gate = view.canary.verdict if view.canary else None
        if gate is not None and view.census.complete(view.candidate.process, pools):
            message = f"{message}; {gate.message}"
        return _condition(view, kind, "True", Reason.ROLLING_OUT, message)
    if view.retiring:
        message = "the routers let go of the former revision"
        return _condition(view, kind, "True", Reason.ROLLING_OUT, message)
    proven = view.stable is not None and view.stable.proven
    reason = Reason.SCALING if proven else Reason.ROLLING_OUT
    return _condition(view, kind, "True", reason, count)


def _canary(view: View, canary: CanaryStatus, *, waits_for: str | None) -> str:
    """Return what share a canary gets, and what it waits for."""
    share = _share(canary)
    if waits_for is not None:
        return f"{share}: {waits_for}"
    if canary.hold_until is not None:
        until = f"{share} until {canary.hold_until:%Y-%m-%dT%H:%M:%SZ}"
        return until if canary.verdict is None else f"{until} and {_judged(canary.verdict)}"
    return f"{share} and waits for promotion: puna promote {view.name}"


def _share(canary: CanaryStatus) -> str:
    if not canary.step:
        return f"revision {canary.revision} gets no request yet"
    return (
        f"revision {canary.revision} gets {canary.weight}% of the requests "
        f"(step {canary.step} of {canary.steps})"
    )


def _paused(name: str, canary: CanaryStatus, verdict: CanaryVerdict) -> str:
    """Return why a canary waits for people, and what they can do."""
    return (
        f"{_share(canary)} and is paused: {verdict.result}: {verdict.message}; it goes on once it "
        f"passes, or: puna promote {name}, puna abort {name}"
    )


def _judged(verdict: CanaryVerdict) -> str:
    """Return what a step waits for beside its time, or that it has passed."""
    if verdict.result is Result.PASS:
        return "passes so far"
    return f"until it passes ({verdict.result}: {verdict.message})"


def _stuck(view: View, problem: Diagnosis) -> Diagnosis:
    """Return what to say of a rollout that cannot go on; a Surge without room names the way out."""
    if (
        problem.reason is Reason.UNSCHEDULABLE
        and view.candidate is not None
        and view.stable_replicas > 0
    ):
        return Diagnosis(
            Reason.NO_SPARE_ACCELERATOR,
            "no room for the new revision beside the running one; free some, or set "
            "spec.rollout.strategy to Replace, which ends the running one first: "
            f"{problem.message}",
        )
    return problem


def _ready(view: View, judged: tuple[Condition, ...]) -> Condition:
    kind = ConditionType.READY
    if view.rejection is not None:
        return _condition(view, kind, "False", Reason.ROUTER_REJECTED, view.rejection)
    failed = next((item for item in judged if item.status == "False"), None)
    if failed is not None:
        return _condition(view, kind, "False", failed.reason, failed.message)
    if not view.complete:
        progressing = judged[-1]
        return _condition(view, kind, "False", progressing.reason, progressing.message)
    if not view.routers_serve:
        message = "the router has not taken the newest configuration yet"
        return _condition(view, kind, "False", Reason.ROUTER_NOT_READY, message)
    return _condition(view, kind, "True", Reason.READY)

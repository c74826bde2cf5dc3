"""Rollout: which revision serves, which one is coming, and whose Pods have to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from puna.api.analysis import CanaryVerdict, Result
from puna.api.llmendpoint_status import Outcome, RevisionRole
from puna.api.pool import Pool
from puna.api.rollout import Canary, RolloutStrategy
from puna.endpoint.canary import End, Position, Verdict, canary_pools, needs_all, weight_of
from puna.endpoint.canary import next_step as next_canary_step
from puna.endpoint.measured import verdict_on, with_baseline
from puna.endpoint.orders import Orders
from puna.endpoint.replacement import announced, measured
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout_input import RolloutInput
from puna.endpoint.succession import retiring, stable_of, takes_over


@dataclass(frozen=True, slots=True)
class Rollout:
    """One step of a rollout."""

    revisions: tuple[StoredRevision, ...]
    """All stored revisions with their roles, the wanted one among them."""
    stable: StoredRevision
    candidate: StoredRevision | None
    retiring: tuple[StoredRevision, ...]
    """Former revisions whose Pods may still get requests, one for each process."""
    waiting_for_old: bool
    """Replace: Pods of other revisions are still there, the stable one's wait."""
    rejected: StoredRevision | None = None
    """The wanted revision, if its canary was aborted or failed."""
    canary: Canary | None = None
    """Steps on which the candidate takes over."""
    instead_of: str | None = None
    """The revision that the spec means, where another one is to serve instead, as ordered."""
    needs_all: bool = True
    """Whether the candidate is to have all servers, or those of a canary."""
    verdict: CanaryVerdict | None = None
    """What the candidate's next step depends on, besides time, servers and people."""

    @property
    def weight(self) -> int:
        """Percent of the requests that the candidate gets."""
        if self.candidate is None or self.canary is None:
            return 0
        return weight_of(self.candidate.position, self.canary.steps)

    @property
    def shares_pods(self) -> bool:
        """Whether the candidate is served by the stable revision's Pods."""
        return self.candidate is not None and self.candidate.process == self.stable.process

    @property
    def announced(self) -> bool:
        """Whether a Replace has been announced and has not begun: the candidate has no servers."""
        return self.candidate is not None and self.candidate.replacement is not None

    def candidate_pools(self, pools: tuple[Pool, ...]) -> tuple[Pool, ...]:
        """Return the pools with the servers that the candidate is to have."""
        if self.canary is None or self.needs_all or self.shares_pods:
            return pools
        return canary_pools(pools, self.canary)

    @property
    def changed_at(self) -> datetime | None:
        """When requests last were taken from a revision that still runs."""
        times = (self.stable.promoted_at, *(item.position.since for item in self.retiring))
        return max((time for time in times if time is not None), default=None)


def next_step(value: RolloutInput, now: datetime) -> Rollout:
    """Return the next step, which follows from what is stored and observed alone."""
    before = stable_of(value)
    wanted = next((item for item in value.stored if item.name == value.wanted.name), value.wanted)
    if wanted.role is not RevisionRole.STABLE and value.strategy is not RolloutStrategy.REPLACE:
        wanted = replace(wanted, replacement=None)
    if before is not None and value.instead_of is None and _is_rejected(wanted):
        rejected = replace(wanted, passed_over=wanted.passed_over.within(value.orders))
        return _rolled_out(value, now, before=before, stable=before, rejected=rejected)
    if before is None or takes_over(before, wanted, value, now):
        return _rolled_out(value, now, before=before, stable=wanted)
    if value.canary is None:
        candidate = replace(
            wanted,
            role=RevisionRole.CANDIDATE,
            outcome=None,
            verdict=None,
            position=Position(),
            baseline=None,
        )
        if value.strategy is RolloutStrategy.REPLACE:
            known = announced(
                wanted.replacement,
                revision=wanted.name,
                replaces=before.name,
                process=before.process,
                servers=value.servers,
                now=now,
            )
            candidate = replace(candidate, replacement=known)
        return _rolled_out(value, now, before=before, stable=before, candidate=candidate)
    return _next_canary_step(value, now, before=before, canary=value.canary, wanted=wanted)


def retried(wanted: StoredRevision, orders: Orders) -> StoredRevision:
    """Return the wanted revision, its canary begun anew if it was rejected and that is ordered."""
    if wanted.role is not RevisionRole.CANDIDATE or wanted.outcome is None:
        return wanted
    ordered = orders.without(wanted.passed_over).retry is not None
    return _beginner(wanted, orders) if ordered else wanted


def reject(
    candidate: StoredRevision, failed: CanaryVerdict | None, now: datetime
) -> StoredRevision:
    """Return a canary that gets no more requests: by what was measured, else as ordered."""
    return replace(
        _left(candidate, now),
        outcome=Outcome.ABORTED if failed is None else Outcome.FAILED,
        verdict=None if failed is None else failed.message,
    )


def history(rollout: Rollout, limit: int) -> tuple[StoredRevision, ...]:
    """Return the active revisions, those that still run, and others to `limit`, newest first.

    What the spec means stays, where another one serves instead.
    """
    running = {item.name for item in rollout.retiring}
    if rollout.instead_of is not None:
        running.add(rollout.instead_of)
    retired = [item for item in rollout.revisions if item.role is RevisionRole.RETIRED]
    idle = [item.name for item in retired if item.name not in running]
    dropped = set(idle[max(0, limit - len(running)) :])
    return tuple(item for item in rollout.revisions if item.name not in dropped)


def _next_canary_step(
    value: RolloutInput,
    now: datetime,
    *,
    before: StoredRevision,
    canary: Canary,
    wanted: StoredRevision,
) -> Rollout:
    """Return the next step of a revision that takes over step by step.

    Of a process that serves already it shares the Pods: nothing has to be waited for.
    """
    candidate = _candidacy(wanted, value)
    verdict = _verdict(value, candidate)
    gate = value.gate
    said = verdict_on(
        candidate,
        before.name,
        canary,
        value.readings,
        unread=value.unread,
        crashes=value.crashes,
    )
    if _orders(value, candidate).promote is not None:
        gate = said = None
    found = gate if candidate.position.step is None else said
    shares_pods = wanted.process == before.process
    step = next_canary_step(
        candidate.position,
        canary.steps,
        verdict=verdict,
        ready=shares_pods or value.ready,
        complete=shares_pods or value.complete.get(wanted.process, False),
        now=now,
        gate=_result(gate),
        measured=_result(said),
    )
    if step is End.PROMOTED:
        return _rolled_out(value, now, before=before, stable=candidate)
    if isinstance(step, End):
        failed = found if step is End.FAILED else None
        rejected = reject(candidate, failed, now)
        return _rolled_out(value, now, before=before, stable=before, rejected=rejected)
    moved = replace(candidate, position=step, proven=candidate.proven or step.step is not None)
    candidate = with_baseline(moved, candidate, before.name, canary, value.readings)
    rollout = _rolled_out(value, now, before=before, stable=before, candidate=candidate)
    everything = needs_all(step, canary.steps, verdict=verdict, now=now)
    return replace(rollout, canary=canary, needs_all=everything, verdict=found)


def _is_rejected(wanted: StoredRevision) -> bool:
    """Return whether a revision has been tried; whatever the strategy is now, it is not again."""
    return wanted.role is RevisionRole.CANDIDATE and wanted.outcome is not None


def _candidacy(wanted: StoredRevision, value: RolloutInput) -> StoredRevision:
    """Return the wanted revision as a candidate, a new one with nothing behind it.

    Orders that are there before it are not meant for it.
    """
    is_stored = any(item.name == wanted.name for item in value.stored)
    if is_stored and wanted.role is RevisionRole.CANDIDATE:
        return replace(wanted, passed_over=wanted.passed_over.within(value.orders))
    return _beginner(wanted, value.orders)


def _beginner(revision: StoredRevision, orders: Orders) -> StoredRevision:
    """Return a revision whose canary begins, whatever became of an earlier one."""
    return replace(
        revision,
        role=RevisionRole.CANDIDATE,
        outcome=None,
        verdict=None,
        position=Position(),
        baseline=None,
        passed_over=orders,
        golden=None,
    )


def _verdict(value: RolloutInput, candidate: StoredRevision) -> Verdict:
    """Return what people and routers say of a canary; an order to abort counts most."""
    orders = _orders(value, candidate)
    if orders.abort is not None:
        return Verdict.ABORT
    if value.refused:
        return Verdict.HOLD
    return Verdict.CONTINUE if orders.promote is None else Verdict.PROMOTE


def _orders(value: RolloutInput, candidate: StoredRevision) -> Orders:
    """Return the orders that are meant for a canary."""
    return value.orders.without(candidate.passed_over)


def _result(verdict: CanaryVerdict | None) -> Result:
    return Result.PASS if verdict is None else verdict.result


def _rolled_out(
    value: RolloutInput,
    now: datetime,
    *,
    before: StoredRevision | None,
    stable: StoredRevision,
    candidate: StoredRevision | None = None,
    rejected: StoredRevision | None = None,
) -> Rollout:
    """Return a rollout with all other revisions retired."""
    stays = before is None or before.name == stable.name
    promoted_at = stable.promoted_at if stays else now
    stable = replace(
        stable,
        role=RevisionRole.STABLE,
        proven=stable.proven or stable.process in value.serving,
        promoted_at=promoted_at,
        replacement=measured(
            stable.replacement,
            gone=not value.serving - {stable.process},
            promoted_at=promoted_at,
            answers=stable.process in value.servers.answering,
            ready_since=value.servers.ready_since.get(stable.process),
            now=now,
        ),
        outcome=None,
        verdict=None,
        position=Position(),
        baseline=None,
        passed_over=stable.passed_over.within(value.given).rollbacks(),
    )
    active = [stable, *(item for item in (candidate, rejected) if item is not None)]
    names = {item.name for item in active}
    retired = tuple(_retired(item, value, now) for item in value.stored if item.name not in names)
    needed = {stable.process} | ({candidate.process} if candidate else set())
    leaving = (*retired, rejected) if rejected else retired
    return Rollout(
        revisions=(*active, *retired),
        stable=stable,
        candidate=candidate,
        retiring=retiring(leaving, needed, value),
        waiting_for_old=value.strategy is RolloutStrategy.REPLACE
        and stable.process not in value.live
        and bool(value.pods - {stable.process}),
        rejected=rejected,
        instead_of=value.instead_of,
    )


def _retired(revision: StoredRevision, value: RolloutInput, now: datetime) -> StoredRevision:
    """Return a revision that neither serves nor is to serve.

    One that the spec means stays rejected, if it was. An order to roll back from another one is
    void from now on.
    """
    left = _left(revision, now)
    if revision.name != value.instead_of:
        void = value.given.of(revision.name).rollbacks()
        return replace(left, role=RevisionRole.RETIRED, passed_over=void, replacement=None)
    if revision.role is RevisionRole.CANDIDATE and revision.outcome is not None:
        return left
    return replace(left, role=RevisionRole.RETIRED, replacement=None)


def _left(revision: StoredRevision, now: datetime) -> StoredRevision:
    """Return a revision that gets no requests, at once, whatever its share was."""
    if revision.position.step is None:
        return replace(revision, baseline=None)
    return replace(revision, position=Position(step=None, since=now), baseline=None)

"""Rollout: which revision serves, which one is coming, and whose Pods have to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from puna.api.llmendpoint import RevisionRole, RolloutStrategy
from puna.endpoint.revision import StoredRevision

MOST_RETIRING: Final = 4
"""Former processes that are kept running for routers that have not let go of them."""


@dataclass(frozen=True, slots=True)
class RolloutInput:
    """What the decision is made from."""

    wanted: StoredRevision
    """The revision that the spec means; stored already or not."""
    stored: tuple[StoredRevision, ...]
    strategy: RolloutStrategy
    complete: Mapping[str, bool]
    """Whether all wanted replicas of a process are ready, by process hash."""
    live: frozenset[str]
    """Process hashes that have a Deployment which is not being deleted."""
    pods: frozenset[str]
    """Process hashes that have Pods, ending ones too."""
    serving: frozenset[str]
    """Process hashes that have a ready Pod."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One step of a rollout."""

    revisions: tuple[StoredRevision, ...]
    """All stored revisions with their roles, the wanted one among them."""
    stable: StoredRevision
    candidate: StoredRevision | None
    retiring: tuple[StoredRevision, ...]
    """Former stable revisions whose Pods may still get requests, one for each process."""
    waiting_for_old: bool
    """Replace: Pods of other revisions are still there, the stable one's wait."""


def next_step(value: RolloutInput, now: datetime) -> Rollout:
    """Return the next step, which follows from what is stored and observed alone."""
    before = _stable(value)
    wanted = next((item for item in value.stored if item.name == value.wanted.name), value.wanted)
    stable, candidate = wanted, None
    if before is not None and not _takes_over(before, wanted, value):
        stable, candidate = before, wanted
    stable = replace(
        stable,
        role=RevisionRole.STABLE,
        proven=stable.proven or stable.process in value.serving,
        promoted_at=stable.promoted_at if before is None or before.name == stable.name else now,
    )
    if candidate is not None:
        candidate = replace(candidate, role=RevisionRole.CANDIDATE)
    active = {stable.name} | ({candidate.name} if candidate else set())
    retired = tuple(
        replace(item, role=RevisionRole.RETIRED) for item in value.stored if item.name not in active
    )
    needed = {stable.process} | ({candidate.process} if candidate else set())
    return Rollout(
        revisions=(stable, *((candidate,) if candidate else ()), *retired),
        stable=stable,
        candidate=candidate,
        retiring=_retiring(retired, needed, value),
        waiting_for_old=value.strategy is RolloutStrategy.REPLACE
        and stable.process not in value.live
        and bool(value.pods - {stable.process}),
    )


def history(rollout: Rollout, limit: int) -> tuple[StoredRevision, ...]:
    """Return the active revisions, those that still run, and others to `limit`, newest first."""
    running = {item.name for item in rollout.retiring}
    retired = [item for item in rollout.revisions if item.role is RevisionRole.RETIRED]
    idle = [item.name for item in retired if item.name not in running]
    dropped = set(idle[max(0, limit - len(running)) :])
    return tuple(item for item in rollout.revisions if item.name not in dropped)


def _stable(value: RolloutInput) -> StoredRevision | None:
    """Return the revision that users are served by.

    A promotion cut short leaves two stable ones or none: it is the one promoted last, or else the
    last one that served and still runs.
    """
    stable = [item for item in value.stored if item.role is RevisionRole.STABLE]
    running = [item for item in value.stored if item.proven and item.process in value.live]
    return max(
        stable or running,
        key=_promotion,
        default=None,
    )


def _takes_over(before: StoredRevision, wanted: StoredRevision, value: RolloutInput) -> bool:
    """Return whether the wanted revision becomes the stable one now."""
    if before.name == wanted.name:
        return True
    return (
        value.strategy is RolloutStrategy.REPLACE
        or not (before.proven or before.process in value.serving)
        or wanted.process == before.process
        or value.complete.get(wanted.process, False)
    )


def _retiring(
    retired: tuple[StoredRevision, ...], needed: set[str], value: RolloutInput
) -> tuple[StoredRevision, ...]:
    """Return one revision for each process that still runs besides the needed ones.

    Where routers that never answer would let them pile up: those promoted last. Under Replace, and
    where the former stable one never served, none is waited for.
    """
    if value.strategy is RolloutStrategy.REPLACE:
        return ()
    by_process = {
        item.process: item
        for item in retired
        if item.proven and item.process in value.live and item.process not in needed
    }
    return tuple(sorted(by_process.values(), key=_promotion, reverse=True)[:MOST_RETIRING])


def _promotion(revision: StoredRevision) -> float:
    return revision.promoted_at.timestamp() if revision.promoted_at else 0

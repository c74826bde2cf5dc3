"""Succession: which revision serves, which one takes over from it, and whose Pods run on."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from puna.api.llmendpoint_status import RevisionRole
from puna.api.rollout import RolloutStrategy
from puna.endpoint.replacement import is_due
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout_input import RolloutInput

MOST_RETIRING: Final = 4
"""Former processes that are kept running for routers that have not let go of them."""


def stable_of(value: RolloutInput) -> StoredRevision | None:
    """Return the revision that users are served by.

    A promotion cut short leaves two stable ones or none: it is the one promoted last, or else the
    last one that served and still runs.
    """
    stable = [item for item in value.stored if item.role is RevisionRole.STABLE]
    running = [item for item in value.stored if item.proven and item.process in value.live]
    former = [item for item in running if item.role is RevisionRole.RETIRED]
    return max(stable or former or running, key=_promotion, default=None)


def takes_over(
    before: StoredRevision, wanted: StoredRevision, value: RolloutInput, now: datetime
) -> bool:
    """Return whether the wanted revision becomes the stable one now, or has been it.

    One that never served is not waited for. A canary takes over at the end of its steps, and under
    Replace what ends servers that answer is announced before.
    """
    if before.name == wanted.name or not (before.proven or before.process in value.serving):
        return True
    if value.strategy is RolloutStrategy.REPLACE:
        interrupts = wanted.process != before.process and before.process in value.serving
        return not interrupts or is_due(wanted.replacement, before.name, now)
    return value.canary is None and (
        wanted.process == before.process or value.complete.get(wanted.process, False)
    )


def retiring(
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

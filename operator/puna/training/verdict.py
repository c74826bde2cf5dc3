"""Verdict: whether a run has ended for good, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.training.attempts import ends
from puna.training.outcome import UNCOUNTED, End
from puna.training.view import Verdict
from puna_trainer.exits import Exit
from puna_trainer.progress import Result

PATIENCE: Final = timedelta(seconds=5)
"""Time in which the end of a Pod is seen after the end of its Job: they are watched apart."""
FATAL: Final = frozenset({Exit.BUG, Exit.USAGE, Exit.REFUSED})
"""Exit codes after which another attempt would end in the same."""
MEMORY_ENDS: Final = 2
"""Times that the memory limit may end the trainer: the same would come again and again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be said of a run's end."""

    verdict: Verdict | None = None
    seeing: bool = False
    """Whether the Job has ended and its Pod's end is still to be seen."""


def verdict(
    job: Manifest | None,
    pods: tuple[Manifest, ...],
    deadline: datetime | None,
    now: datetime,
) -> Found:
    """Return how a run ended; without a verdict it goes on.

    Args:
        job: of the run, if it is there.
        pods: of that Job.
        deadline: when it has to be over.
        now: the time.
    """
    condition = _ended(job)
    if condition is None:
        return Found(_stopped(pods, deadline, now))
    at = datetime.fromisoformat(condition.get("lastTransitionTime") or now.isoformat())
    seen = ends(pods)
    if condition["type"] == "Complete":
        well = [end for _, end in seen if end.is_done and end.result is not None]
        if not well and now - at < PATIENCE:
            return Found(seeing=True)
        return Found(Verdict(None, well[-1].result if well else None, at))
    failed = [end for _, end in seen if not end.is_done]
    if not failed and now - at < PATIENCE:
        return Found(seeing=True)
    return Found(Verdict(_failure(condition, failed), _last_word(failed), at))


def _ended(job: Manifest | None) -> Manifest | None:
    """Return the condition that says that a Job has ended."""
    for condition in (job or {}).get("status", {}).get("conditions", ()):
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            found: Manifest = condition
            return found
    return None


def _failure(condition: Manifest, failed: list[End]) -> Finding:
    """Return why a Job failed: the cause, rather than what other processes suffered from it."""
    if condition.get("reason") == "DeadlineExceeded":
        return Finding(Reason.DEADLINE_EXCEEDED, condition.get("message", ""))
    causes = [end for end in failed if end.reason not in UNCOUNTED]
    causes = [end for end in causes if end.reason is not Reason.RANK_LOST] or causes
    if not causes:
        told = f"{condition.get('reason', 'Failed')}: {condition.get('message', '')}"
        return Finding(Reason.POD_FAILED, told)
    cause = causes[-1]
    if condition.get("reason") == "BackoffLimitExceeded" and cause.reason in {
        Reason.POD_FAILED,
        Reason.KILLED,
    }:
        return Finding(
            Reason.BACKOFF_LIMIT_EXCEEDED,
            f"more attempts failed than spec.backoffLimit allows; the last one: {cause.message}",
        )
    return Finding(cause.reason, cause.message)


def _last_word(failed: list[End]) -> Result | None:
    return next((end.result for end in reversed(failed) if end.result is not None), None)


def _stopped(
    pods: tuple[Manifest, ...], deadline: datetime | None, now: datetime
) -> Verdict | None:
    """Return why a run that goes on has to be ended."""
    if deadline is not None and now >= deadline:
        message = "spec.activeDeadlineSeconds is over; the last checkpoint is kept"
        return Verdict(Finding(Reason.DEADLINE_EXCEEDED, message))
    final = [end for _, end in ends(pods) if _is_hidden(end)]
    if final:
        cause = final[-1]
        return Verdict(Finding(cause.reason, cause.message), cause.result)
    full = [end for _, end in ends(pods) if end.reason is Reason.OUT_OF_MEMORY]
    if len(full) >= MEMORY_ENDS:
        return Verdict(Finding(Reason.OUT_OF_MEMORY, full[-1].message))
    return None


def _is_hidden(end: End) -> bool:
    """Return whether torchrun hides from the Job that another attempt would end in the same."""
    told = end.result.exit_code if end.result else None
    return told in FATAL and told != end.exit_code

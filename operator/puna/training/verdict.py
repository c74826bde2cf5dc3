"""Verdict: whether a run has ended for good, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.training.attempts import ends
from puna.training.outcome import SUFFERED, UNCOUNTED, End
from puna.training.ranks import attempt_number
from puna.training.view import Verdict
from puna_trainer.progress import Result

PATIENCE: Final = timedelta(seconds=5)
"""Time in which the end of a Pod is seen after the end of its Job: they are watched apart."""
MEMORY_ENDS: Final = 2
"""Attempts that the memory limit may end: the same would come again and again."""


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
    *,
    exhausted: bool = False,
) -> Found:
    """Return how a run ended; without a verdict it goes on.

    Args:
        job: of the run, if it is there.
        pods: of that Job.
        deadline: when it has to be over.
        now: the time.
        exhausted: whether more attempts have failed than may.
    """
    condition = _ended(job)
    if condition is None:
        return Found(_stopped(pods, deadline, now, exhausted=exhausted))
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
    stopped = _incurable(pods, exhausted=exhausted) if _is_overdue(condition) else None
    if stopped is not None:
        return Found(replace(stopped, at=at))
    return Found(Verdict(_failure(condition, failed), _last_word(failed), at))


def _ended(job: Manifest | None) -> Manifest | None:
    """Return the condition that says that a Job has ended."""
    for condition in (job or {}).get("status", {}).get("conditions", ()):
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            found: Manifest = condition
            return found
    return None


def _is_overdue(condition: Manifest) -> bool:
    """Return whether a Job failed by its deadline, which also ends one that must not go on."""
    return condition.get("reason") == "DeadlineExceeded"


def _failure(condition: Manifest, failed: list[End]) -> Finding:
    """Return why a Job failed: the cause, rather than what other processes suffered from it."""
    if _is_overdue(condition):
        return Finding(Reason.DEADLINE_EXCEEDED, condition.get("message", ""))
    causes = [end for end in failed if end.reason not in UNCOUNTED]
    causes = [end for end in causes if end.reason not in SUFFERED] or causes
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
    pods: tuple[Manifest, ...], deadline: datetime | None, now: datetime, *, exhausted: bool
) -> Verdict | None:
    """Return why a run that goes on has to be ended."""
    if deadline is not None and now >= deadline:
        message = "spec.activeDeadlineSeconds is over; the last checkpoint is kept"
        return Verdict(Finding(Reason.DEADLINE_EXCEEDED, message))
    return _incurable(pods, exhausted=exhausted)


def _incurable(pods: tuple[Manifest, ...], *, exhausted: bool) -> Verdict | None:
    """Return why another attempt would end like those before it, or may not be made."""
    full = [(pod, end) for pod, end in ends(pods) if end.reason is Reason.OUT_OF_MEMORY]
    if len({attempt_number(pods, pod, end) for pod, end in full}) >= MEMORY_ENDS:
        return Verdict(Finding(Reason.OUT_OF_MEMORY, full[-1][1].message))
    if exhausted:
        failed = [end for _, end in ends(pods) if not end.is_done]
        return Verdict(_failure({"reason": "BackoffLimitExceeded"}, failed), _last_word(failed))
    return None

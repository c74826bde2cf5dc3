"""Clock of a run: how long it has been let run, when it has to end, and when it is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJobSpec


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of a run, suspensions not counted."""

    start_time: datetime | None
    active_since: datetime | None
    active_seconds: int


def clock(before: TrainingJobStatus, *, active: bool, now: datetime) -> Clock:
    """Return the times of a run that is let run, or is not."""
    now = now.replace(microsecond=0)
    if active:
        since = before.active_since or now
        return Clock(before.start_time or since, since, before.active_seconds)
    spent = before.active_seconds
    if before.active_since is not None:
        spent += round((now - before.active_since).total_seconds())
    return Clock(before.start_time, None, spent)


def deadline(times: Clock, spec: TrainingJobSpec) -> datetime | None:
    """Return when a run has to be over; None while nothing drives it there."""
    if spec.active_deadline_seconds is None or times.active_since is None:
        return None
    left = timedelta(seconds=spec.active_deadline_seconds - times.active_seconds)
    return times.active_since + left


def expiry(status: TrainingJobStatus, spec: TrainingJobSpec) -> datetime | None:
    """Return when a finished TrainingJob is to be deleted; None: never."""
    if spec.ttl_seconds_after_finished is None or status.completion_time is None:
        return None
    return status.completion_time + timedelta(seconds=spec.ttl_seconds_after_finished)

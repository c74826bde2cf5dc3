"""The status of a run: what was observed, told for people and for programs."""

from __future__ import annotations

from puna.api.conditions import find, merge
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.api.training_status import ArtifactStatus, Attempt, TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Event
from puna.training.claim import output_claim
from puna.training.clock import Clock
from puna.training.judgement import judge
from puna.training.outcome import UNCOUNTED
from puna.training.run_config import output_path
from puna.training.shown import rounded
from puna.training.summary import summarize
from puna.training.view import View
from puna_trainer.progress import Result


def build_status(
    before: TrainingJobStatus, view: View, *, times: Clock, retry: str | None, image: str
) -> TrainingJobStatus:
    """Return the complete status that follows the present one."""
    lineage = view.shown.lineage.model_copy(
        update={
            "attempts": view.record.attempts,
            "image": view.shown.lineage.image or (image if times.start_time else None),
        }
    )
    ended = view.verdict.at or view.now if view.verdict else None
    return TrainingJobStatus(
        observed_generation=view.generation,
        conditions=merge(before.conditions, judge(view)),
        run=before.run,
        retry=retry,
        start_time=times.start_time,
        completion_time=None if ended is None else ended.replace(microsecond=0),
        active_since=times.active_since,
        active_seconds=times.active_seconds,
        progress=view.shown.progress,
        checkpoints=view.shown.checkpoints,
        metrics=view.metrics,
        artifacts=view.artifacts,
        lineage=lineage,
        retries=view.record.retries,
        summary=summarize(view),
    )


def measured(before: TrainingJobStatus, result: Result | None) -> dict[str, float]:
    """Return what the evaluation measured."""
    if result is None or not result.metrics:
        return before.metrics
    found = {name: rounded(value) for name, value in result.metrics.items()}
    return {name: value for name, value in found.items() if value is not None}


def registered(job: TrainingJob, result: Result | None) -> tuple[ArtifactStatus, ...]:
    """Return the files that passed their proofs; nothing else is registered."""
    if result is None or not job.spec.export.verify:
        return ()
    folder = f"pvc://{output_claim(job)}/{output_path(job.metadata.name, job.spec)}"
    return tuple(
        ArtifactStatus(
            name=item.name,
            uri=f"{folder}/{item.path}",
            sha256=item.sha256,
            type=item.type,
            size_bytes=item.size_bytes,
            bits_per_weight=rounded(item.bits_per_weight),
            fallback_tensors=item.fallback_tensors,
            parity=item.parity,
            uploaded_to=item.uploaded_to,
        )
        for item in result.artifacts
    )


def transitions(
    before: TrainingJobStatus, after: TrainingJobStatus, view: View
) -> tuple[Event, ...]:
    """Return what has happened between two statuses, each thing once."""
    events = [_ended(attempt) for attempt in view.record.ended]
    if before.active_since is None and after.active_since is not None:
        started = before.start_time is None
        events.append(
            Event("Normal", EventReason.TRAINING_STARTED, f"run {after.run} may start")
            if started
            else Event("Normal", EventReason.TRAINING_RESUMED, "the run goes on")
        )
    if _turned(before, after, ConditionType.SUSPENDED) and before.start_time is not None:
        condition = find(after.conditions, ConditionType.SUSPENDED)
        message = condition.message if condition else ""
        events.append(Event("Normal", EventReason.TRAINING_SUSPENDED, message))
    old = before.progress.stage if before.progress else None
    if after.progress is not None and after.progress.stage != old and view.verdict is None:
        events.append(Event("Normal", EventReason.STAGE_STARTED, f"stage {after.progress.stage}"))
    for kind in (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS):
        events += _refused(before, after, kind)
    if _turned(before, after, ConditionType.COMPLETE):
        measures = ", ".join(f"{name} {value:g}" for name, value in after.metrics.items())
        message = f"every stage is done{': ' if measures else ''}{measures}"
        events.append(Event("Normal", EventReason.TRAINING_COMPLETED, message))
    if _turned(before, after, ConditionType.FAILED) and view.failure is not None:
        message = f"{view.failure.reason}: {view.failure.message}"
        events.append(Event("Warning", EventReason.TRAINING_FAILED, message))
    return tuple(events)


def _ended(attempt: Attempt) -> Event:
    planned = attempt.reason in UNCOUNTED
    step = "" if attempt.to_step is None else f" after step {attempt.to_step}"
    return Event(
        "Normal" if planned else "Warning",
        EventReason.ATTEMPT_ENDED,
        f"Pod {attempt.pod} ended{step}: {attempt.reason}: {attempt.message or ''}",
    )


def _turned(before: TrainingJobStatus, after: TrainingJobStatus, kind: ConditionType) -> bool:
    """Return whether a condition has become True."""
    old, new = find(before.conditions, kind), find(after.conditions, kind)
    return new is not None and new.status == "True" and (old is None or old.status != "True")


def _refused(
    before: TrainingJobStatus, after: TrainingJobStatus, kind: ConditionType
) -> list[Event]:
    old, new = find(before.conditions, kind), find(after.conditions, kind)
    if new is None or new.status != "False":
        return []
    told = None if old is None else (old.status, old.reason)
    if told == (new.status, new.reason):
        return []
    reason: Reason = new.reason
    return [Event("Warning", EventReason.REFUSED, f"{reason}: {new.message}")]

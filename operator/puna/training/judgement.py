"""Judgement: the conditions of a run, each by a function of the same view."""

from __future__ import annotations

from typing import Final, Literal

from puna.api.conditions import Condition
from puna.api.reasons import ConditionType, Reason
from puna.training.view import View
from puna_trainer.config.output import ArtifactType, StageName

LONGEST_MESSAGE: Final = 4096
Status = Literal["True", "False", "Unknown"]
AROUND_LEARNING: Final = frozenset(
    {StageName.DATA, StageName.TOKENIZER, StageName.EVALUATE, StageName.EXPORT}
)
"""Stages in which no weights are learned."""


def judge(view: View) -> tuple[Condition, ...]:
    """Return all conditions."""
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:LONGEST_MESSAGE],
            last_transition_time=view.now.replace(microsecond=0),
            observed_generation=view.generation,
        )
        for kind, (status, reason, message) in (
            (ConditionType.ACCEPTED, _accepted(view)),
            (ConditionType.RESOLVED_REFS, _resolved_refs(view)),
            (ConditionType.ADMITTED, _admitted(view)),
            (ConditionType.SUSPENDED, _suspended(view)),
            (ConditionType.DATASET_READY, _dataset_ready(view)),
            (ConditionType.TRAINING, _training(view)),
            (ConditionType.CHECKPOINT_VALID, _checkpoint_valid(view)),
            (ConditionType.EVALUATED, _evaluated(view)),
            (ConditionType.EXPORTED, _exported(view)),
            (ConditionType.PARITY_VERIFIED, _parity_verified(view)),
            (ConditionType.COMPLETE, _complete(view)),
            (ConditionType.FAILED, _failed(view)),
        )
    )


Judged = tuple[Status, Reason, str]


def _accepted(view: View) -> Judged:
    if view.refusal is not None:
        return "False", view.refusal.reason, view.refusal.message
    return "True", Reason.ACCEPTED, ""


def _resolved_refs(view: View) -> Judged:
    if view.unresolved is not None:
        return "False", view.unresolved.reason, view.unresolved.message
    return "True", Reason.RESOLVED, ""


def _admitted(view: View) -> Judged:
    if view.queue is None:
        return "True", Reason.NO_QUEUE, ""
    if view.admitted or view.verdict is not None:
        return "True", Reason.ADMITTED, f"by queue {view.queue}"
    return "False", Reason.QUEUED, f"waits in queue {view.queue}"


def _suspended(view: View) -> Judged:
    if view.verdict is not None:
        return "False", Reason.NOT_SUSPENDED, ""
    if view.suspended:
        return "True", Reason.SUSPENDED, f"spec.suspend is true{_where(view)}"
    if not view.admitted:
        return "True", Reason.QUEUED, f"queue {view.queue} lets others run{_where(view)}"
    return "False", Reason.NOT_SUSPENDED, ""


def _where(view: View) -> str:
    latest = view.shown.checkpoints.latest
    return f"; it will go on from checkpoint {latest.name}" if latest else ""


def _dataset_ready(view: View) -> Judged:
    if StageName.DATA not in view.stages:
        return "Unknown", Reason.NOT_ASKED, "spec.stages has no stage data"
    if StageName.DATA in view.done:
        return "True", Reason.PREPARED, ""
    failed = view.failure
    if failed is not None and failed.reason in {Reason.DATA_CORRUPT, Reason.DATA_UNAVAILABLE}:
        return "False", failed.reason, failed.message
    if view.running and view.stage is StageName.DATA:
        progress = view.shown.progress
        return "False", Reason.PREPARING, (progress.message if progress else None) or ""
    return _pending(view, "the data are not there yet")


def _training(view: View) -> Judged:
    learning = [stage for stage in view.stages if stage not in AROUND_LEARNING]
    if not learning:
        return "Unknown", Reason.NOT_ASKED, "no stage of spec.stages learns weights"
    if view.done.issuperset(learning):
        return "False", Reason.DONE, f"done: {', '.join(learning)}"
    if view.failure is not None:
        return "False", view.failure.reason, view.failure.message
    waits = _waits(view)
    if waits is not None:
        return waits
    if view.stage in learning:
        return "True", Reason.RUNNING, f"stage {view.stage}"
    return _pending(view, f"stage {view.stage} comes first" if view.stage else "begins")


def _waits(view: View) -> Judged | None:
    """Return why the trainer does not run; None if it does.

    The Pods of several nodes do nothing until all of them run.
    """
    blocked = view.refusal or view.unresolved
    if blocked is not None and not view.running:
        return "False", blocked.reason, blocked.message
    if view.suspended or not view.admitted:
        _, reason, message = _suspended(view)
        return "False", reason, message
    if view.obstacle is not None:
        return "False", view.obstacle.reason, view.obstacle.message
    if view.running:
        return None
    last = view.record.last
    if last is not None and last.finished_at is not None:
        return "False", Reason.RETRYING, f"Pod {last.pod}: {last.reason}: {last.message or ''}"
    return "False", Reason.PENDING, "the Pod starts"


def _pending(view: View, message: str) -> Judged:
    if view.failure is not None:
        return "False", view.failure.reason, f"the run failed before: {view.failure.message}"
    return "False", Reason.PENDING, message


def _checkpoint_valid(view: View) -> Judged:
    latest = view.shown.checkpoints.latest
    if latest is None:
        return "Unknown", Reason.PENDING, "there is none yet"
    return "True", Reason.CHECKPOINT_SAVED, f"{latest.name}, after step {latest.step}"


def _evaluated(view: View) -> Judged:
    if StageName.EVALUATE not in view.stages:
        return "Unknown", Reason.NOT_ASKED, "spec.stages has no stage evaluate"
    failed = view.failure
    if failed is not None and failed.reason is Reason.EVALUATION_REGRESSED:
        return "False", failed.reason, failed.message
    if StageName.EVALUATE in view.done:
        measured = ", ".join(f"{name} {value:g}" for name, value in view.metrics.items())
        return "True", Reason.VERIFIED, measured
    return _pending(view, "stage evaluate is not done")


def _exported(view: View) -> Judged:
    if StageName.EXPORT not in view.stages:
        return "Unknown", Reason.NOT_ASKED, "spec.stages has no stage export"
    if StageName.EXPORT in view.done:
        return "True", Reason.DONE, ", ".join(artifact.name for artifact in view.artifacts)
    return _pending(view, "stage export is not done")


def _parity_verified(view: View) -> Judged:
    asked = [item for item in view.types if item is not ArtifactType.SAFETENSORS]
    if StageName.EXPORT not in view.stages or not asked:
        return "Unknown", Reason.NOT_ASKED, "spec.export.types has no GGUF"
    if not view.verify:
        message = "spec.export.verify is false; nothing is registered"
        return "False", Reason.NOT_VERIFIED, message
    failed = view.failure
    if failed is not None and failed.reason is Reason.PARITY_FAILED:
        return "False", failed.reason, failed.message
    proofs = {item.name: item.parity for item in view.artifacts if item.parity is not None}
    if view.is_complete and proofs:
        told = ", ".join(f"{name}: NMSE {proof.nmse:.2g}" for name, proof in proofs.items())
        return "True", Reason.VERIFIED, told
    if view.is_complete:
        return "Unknown", Reason.NOT_VERIFIED, "the trainer told of no proof"
    return _pending(view, "stage export is not done")


def _complete(view: View) -> Judged:
    if view.is_complete:
        return "True", Reason.COMPLETE, ""
    if view.failure is not None:
        return "False", view.failure.reason, view.failure.message
    waits = _waits(view)
    return waits or ("False", Reason.RUNNING, f"stage {view.stage}" if view.stage else "")


def _failed(view: View) -> Judged:
    if view.failure is not None:
        return "True", view.failure.reason, view.failure.message
    if view.is_complete:
        return "False", Reason.COMPLETE, ""
    status, reason, _ = _complete(view)
    return status, reason, ""

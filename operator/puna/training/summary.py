"""Summary: what `kubectl get tj` shows, derived from the progress and from how the run stands."""

from __future__ import annotations

from typing import Final

from puna.api.training_status import TrainingProgress, TrainingSummary
from puna.training.view import View

MINUTE: Final = 60
HOUR: Final = 3600


def summarize(view: View) -> TrainingSummary:
    """Return the texts of the columns."""
    progress = view.shown.progress
    stage = _stage(view)
    if progress is None:
        return TrainingSummary(stage=stage, metric=_metric(view))
    running = view.running and view.verdict is None
    return TrainingSummary(
        stage=stage,
        epoch=_of(progress.epoch, progress.total_epochs),
        step=_of(progress.step, progress.total_steps),
        loss=number(progress.loss),
        metric=_metric(view),
        eta=duration(progress.eta_seconds) if running else "",
    )


def with_last_words(summary: TrainingSummary, progress: TrainingProgress | None) -> TrainingSummary:
    """Return the columns of a run that has ended, with what was read after its end."""
    if progress is None:
        return summary
    return summary.model_copy(
        update={
            "epoch": _of(progress.epoch, progress.total_epochs),
            "step": _of(progress.step, progress.total_steps),
            "loss": number(progress.loss),
        }
    )


def number(value: float | None) -> str:
    """Return a number as a column shows it."""
    return "" if value is None else f"{value:g}"


def duration(seconds: int | None) -> str:
    """Return a time in words as short as kubectl's: 45s, 3m10s, 2h05m."""
    if seconds is None:
        return ""
    if seconds < MINUTE:
        return f"{seconds}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE}m{seconds % MINUTE:02}s"
    return f"{seconds // HOUR}h{seconds % HOUR // MINUTE:02}m"


def _stage(view: View) -> str:
    if view.is_complete:
        return "Complete"
    if view.failure is not None:
        return "Failed"
    if (view.refusal or view.unresolved) and not view.running:
        return "Blocked"
    if view.suspended:
        return "Suspended"
    if not view.admitted:
        return "Queued"
    if view.running:
        return view.stage or "Starting"
    last = view.record.last
    return "Retrying" if last is not None and last.finished_at is not None else "Pending"


def _of(number: int | None, total: int | None) -> str:
    if number is None:
        return ""
    return str(number) if total is None else f"{number}/{total}"


def _metric(view: View) -> str:
    """Return what the evaluation measured, else what validation said last."""
    measured = view.metrics
    if "test_accuracy" in measured:
        return f"acc {measured['test_accuracy']:.4g}"
    if "perplexity" in measured:
        return f"ppl {measured['perplexity']:.4g}"
    return "" if view.shown.progress is None else _validation(view.shown.progress)


def _validation(progress: TrainingProgress) -> str:
    if progress.val_accuracy is not None:
        return f"acc {progress.val_accuracy:.4g}"
    if progress.perplexity is not None:
        return f"ppl {progress.perplexity:.4g}"
    return "" if progress.val_loss is None else f"val {progress.val_loss:.4g}"

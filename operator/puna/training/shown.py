"""Shown: what the status tells of the trainer's words, and how often it is written for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from puna.api.training_status import (
    CheckpointStatus,
    Lineage,
    TrainingJobStatus,
    TrainingProgress,
)
from puna_trainer.progress import CurvePoint, Hashes, Progress, Result

DIGITS: Final = 4
"""Significant digits of shown numbers: one that has not changed causes no write."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of a status that the trainer tells."""

    progress: TrainingProgress | None
    checkpoints: CheckpointStatus
    lineage: Lineage
    held_back: bool = False
    """Whether there is something newer, which waits for its turn."""


@dataclass(frozen=True, slots=True)
class Line:
    """The last line of progress of a Pod."""

    pod: str
    said: Progress

    def follows(self, shown: TrainingProgress | None) -> bool:
        """Return whether this is news; clocks of two nodes are not compared."""
        if shown is None or shown.pod != self.pod:
            return True
        return self.said.updated_at > shown.updated_at


def shown(
    before: TrainingJobStatus, line: Line | None, result: Result | None, *, due: bool
) -> Shown:
    """Return what is to be shown: the newest at once if the stage is another, else when it is due.

    Args:
        before: the status so far.
        line: the newest attempt's.
        result: the trainer's last word.
        due: whether the status may be written for numbers alone.
    """
    old = Shown(before.progress, before.checkpoints, before.lineage)
    if line is not None and line.follows(old.progress):
        said = line.said
        new = Shown(_progress(line), _checkpoints(old, said), _lineage(old, said.hashes))
        now = due or is_milestone(old.progress, said) or result is not None
        old = new if now else Shown(*_parts(old), held_back=True)
    return old if result is None else _with_result(old, result)


def completed(before: TrainingJobStatus, line: Line | None) -> Shown:
    """Return what is shown of a run that has ended, with what was read after its end.

    Of one that ended before it was read for the first time that is all there is.
    """
    old = Shown(before.progress, before.checkpoints, before.lineage)
    if line is None:
        return old
    last, kept = _progress(line), {}
    if before.progress is not None:
        if line.pod == before.progress.pod and last.updated_at < before.progress.updated_at:
            return old
        kept = {name: getattr(before.progress, name) for name in ("stage", "done", "step")}
    return Shown(
        last.model_copy(update=kept | {"eta_seconds": None}),
        _checkpoints(old, line.said),
        _lineage(old, line.said.hashes),
    )


def is_milestone(before: Progress | TrainingProgress | None, said: Progress) -> bool:
    """Return whether a line tells more than numbers."""
    return before is None or (before.stage, before.done) != (said.stage, said.done)


def rounded(number: float | None) -> float | None:
    """Return a number with few significant digits; None for one that is none."""
    if number is None or not math.isfinite(number):
        return None
    return float(f"{number:.{DIGITS}g}")


def _parts(old: Shown) -> tuple[TrainingProgress | None, CheckpointStatus, Lineage]:
    return old.progress, old.checkpoints, old.lineage


def _progress(line: Line) -> TrainingProgress:
    said = line.said
    return TrainingProgress(
        stage=said.stage,
        done=said.done,
        epoch=said.epoch,
        total_epochs=said.total_epochs,
        step=said.step,
        total_steps=said.total_steps,
        loss=rounded(said.loss),
        val_loss=rounded(said.val_loss),
        val_accuracy=rounded(said.val_accuracy),
        perplexity=rounded(said.perplexity),
        tokens_per_second=rounded(said.tokens_per_second),
        images_per_second=rounded(said.images_per_second),
        eta_seconds=said.eta_seconds,
        updated_at=said.updated_at,
        pod=line.pod,
        message=said.message,
        curve=tuple(
            CurvePoint(
                step=point.step,
                loss=rounded(point.loss) or 0.0,
                val_loss=rounded(point.val_loss),
            )
            for point in said.curve
        ),
    )


def _checkpoints(old: Shown, said: Progress) -> CheckpointStatus:
    """Return which checkpoints there are: those before until the attempt has looked."""
    if said.checkpoints is None:
        return old.checkpoints
    longest = max(
        (item for item in (old.checkpoints.save_seconds, said.save_seconds) if item),
        default=None,
    )
    return CheckpointStatus(
        latest=said.latest,
        best=said.best,
        count=said.checkpoints,
        save_seconds=rounded(longest),
    )


def _lineage(old: Shown, hashes: Hashes | None) -> Lineage:
    if hashes is None:
        return old.lineage
    return old.lineage.model_copy(
        update={
            "config_hash": hashes.config,
            "code_hash": hashes.code,
            "data_hash": hashes.data or old.lineage.data_hash,
            "tokenizer_hash": hashes.tokenizer or old.lineage.tokenizer_hash,
        }
    )


def _with_result(old: Shown, result: Result) -> Shown:
    """Return what is shown with the trainer's last word over it."""
    progress = old.progress
    if progress is not None:
        known = {"stage": result.stage, "done": result.done or None, "step": result.step}
        told = {name: value for name, value in known.items() if value is not None}
        progress = progress.model_copy(update=told | {"eta_seconds": None})
    checkpoints = old.checkpoints
    if result.checkpoint is not None:
        checkpoints = checkpoints.model_copy(update={"latest": result.checkpoint})
    return Shown(progress, checkpoints, _lineage(old, result.hashes))

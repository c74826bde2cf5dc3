"""Timetable: after which steps pre-training saves, evaluates and ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.output import Checkpoints
from puna_trainer.language.batches import Batches


@dataclass(frozen=True, slots=True)
class Timetable:
    """What is due after how many steps."""

    batches: Batches
    total_steps: int
    evaluate_steps: int | None
    """Steps between two looks at the validation data; None means an epoch."""
    save_steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last one of it may go on into the next."""
        return self.batches.steps_of(1)

    def evaluates(self, step: int) -> bool:
        """Return whether the validation data is looked at after this many steps."""
        if step == 0:
            return False
        if self.evaluate_steps is None:
            return self.ends_epoch(step) or step == self.total_steps
        return step % self.evaluate_steps == 0 or step == self.total_steps

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is written; one is before each evaluation."""
        return step > 0 and (
            step % self.save_steps == 0 or self.ends_epoch(step) or self.evaluates(step)
        )

    def ends_epoch(self, step: int) -> bool:
        """Return whether an epoch is done after this many steps, and was not before."""
        return step > 0 and self.batches.epoch_after(step) > self.batches.epoch_after(step - 1)

    def name(self, step: int) -> str:
        """Return the name of the checkpoint that is written after this many steps."""
        if self.ends_epoch(step):
            return f"epoch_{self.batches.epoch_after(step)}"
        return f"step_{step}"


def timetable_of(windows: int, chosen: Hyperparameters, checkpoint: Checkpoints) -> Timetable:
    """Return the timetable of a run over so many windows of training data."""
    batches = Batches(windows, chosen.batch_size, chosen.seed)
    total = batches.steps_of(chosen.epochs)
    return Timetable(
        batches=batches,
        total_steps=min(total, chosen.max_steps or total),
        evaluate_steps=chosen.evaluate_every_steps,
        save_steps=checkpoint.every_steps,
    )

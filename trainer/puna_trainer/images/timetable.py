"""Timetable: after which steps a run of images saves, evaluates and ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.output import Checkpoints


@dataclass(frozen=True, slots=True)
class Timetable:
    """What is due after how many steps."""

    batches: int
    """Batches of an epoch; the last may be smaller."""
    total_steps: int
    evaluate_steps: int
    save_steps: int

    def evaluates(self, step: int) -> bool:
        """Return whether the validation data is looked at after this many steps."""
        return step > 0 and (step % self.evaluate_steps == 0 or step == self.total_steps)

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is written; one is before each evaluation."""
        return step > 0 and (
            step % self.save_steps == 0 or self.ends_epoch(step) or self.evaluates(step)
        )

    def ends_epoch(self, step: int) -> bool:
        """Return whether an epoch is done after this many steps."""
        return step > 0 and step % self.batches == 0

    def name(self, step: int) -> str:
        """Return the name of the checkpoint that is written after this many steps."""
        return f"epoch_{step // self.batches}" if self.ends_epoch(step) else f"step_{step}"


def timetable_of(examples: int, chosen: Hyperparameters, checkpoint: Checkpoints) -> Timetable:
    """Return the timetable of a run over so many training examples."""
    batches = -(-examples // chosen.batch_size)
    total = chosen.epochs * batches
    return Timetable(
        batches=batches,
        total_steps=min(total, chosen.max_steps or total),
        evaluate_steps=chosen.evaluate_every_steps or batches,
        save_steps=checkpoint.every_steps,
    )

"""Training loop: what both trainers do after each step, and how they end when they are asked to.

until all steps are taken: take one; look at what it computed and whether the run is to end, if
    that is due; save, if that is due
"""

from __future__ import annotations

from typing import Protocol

from puna_trainer.errors import Interrupted
from puna_trainer.stage import StageContext


class Timetable(Protocol):
    """What is due after how many steps."""

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is written after this many steps."""


class Training(Protocol):
    """What is trained, and how far it is; the processes of a run take each step together."""

    step: int
    """Steps that were taken."""

    @property
    def context(self) -> StageContext:
        """What its stage is given."""

    @property
    def timetable(self) -> Timetable:
        """What is due after how many steps."""

    def is_done(self) -> bool:
        """Do what is due before the next step; return whether there is none."""

    def take_step(self) -> None:
        """Take the next step."""

    def has_to_look(self) -> bool:
        """Return whether to look at the steps that were taken; all processes get the same."""

    def look(self) -> bool:
        """Look at them; return whether the run is to end, which all processes get the same."""

    def save(self) -> None:
        """Write a checkpoint; the first process writes."""


def take_steps(training: Training) -> None:
    """Take all steps that are left.

    Raises:
        TrainingError: NonFiniteLoss, DiskFull and others; the checkpoints before are kept.
        Interrupted: SIGTERM came to any of the processes, and the state was saved; or it came while
            validating, before which it had been.
    """
    while not training.is_done():
        training.take_step()
        saves = training.timetable.saves(training.step)
        stops = training.look() if saves or training.has_to_look() else False
        if saves or stops:
            training.save()
        if stops:
            # The others stay until the first has written: torchrun takes one that ends for a
            # failure, and 30 s later kills those beside it, however long the grace period. A save
            # that never ends keeps nobody: the Pod that was asked is killed when its grace period
            # is over, which ends the waiting of all (RankLost).
            training.context.group.wait()
            raise Interrupted

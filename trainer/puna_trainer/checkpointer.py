"""Checkpointer: where a training goes on, what it saves, and what is told of its checkpoints.

    checkpoints = Checkpointer(context)
    step, patience = checkpoints.resume(model, optimizer, scaler, total_steps=500)
    checkpoints.save(state, "step_20")      # before it is measured
    checkpoints.mark_best(loss)             # or, if that is no number: checkpoints.withdraw()

All processes of a run have one and call it alike; the first alone writes and tells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.early_stopping import Patience
from puna_trainer.parallel import write_states
from puna_trainer.progress import CheckpointNote
from puna_trainer.stage import StageContext


class Reached(NamedTuple):
    """How far a training is."""

    step: int
    """Steps of the optimizer that are done."""
    patience: Patience
    """The best metric so far, and how long nothing was better."""


class Checkpointer:
    """The checkpoints of a run while it trains."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._store = Store(context.folder / CHECKPOINTS, context.run.checkpoint, context.inputs)
        self._newest: CheckpointNote | None = None
        self._best: CheckpointNote | None = None

    def resume(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        *,
        total_steps: int,
    ) -> Reached:
        """Go on from the newest checkpoint that verifies, or from the first step; where that is.

        Weights, optimizer, scaler and the global generators get the state that was saved, and what
        was logged after it is taken away. Checkpoints of other inputs are moved out of the way.

        Args:
            model: As the processes compute it: it may be spread over them.
            optimizer: Of its weights.
            scaler: Of its gradients.
            total_steps: Steps that the run takes in all.
        """
        context, reporter = self._context, self._context.reporter
        if context.group.is_first:
            self._store.set_aside_others()
            self._newest = self._store.newest_note()
            self._best = self._store.best_note()
        note = context.group.share(self._newest)
        state = self._store.read(note) if note else None
        if state:
            write_states(model, optimizer, state.model, state.optimizer)
            scaler.load_state_dict(dict(state.scaler))
            state.random.restore(context.device)
        reached = Reached(state.step, state.patience) if state else Reached(0, Patience())
        reporter.resume(reached.step)
        reporter.tell(
            total_epochs=context.run.hyperparameters.epochs,
            total_steps=total_steps,
            step=reached.step,
        )
        if context.group.is_first:
            self._tell()
        reporter.write_line()  # from where it goes on, however soon it ends
        return reached

    def save(self, state: TrainingState, name: str) -> None:
        """Write a checkpoint; the first process alone has to call this.

        Raises:
            TrainingError: DiskFull or OutputUnusable; all older checkpoints are still there.
        """
        self._newest = self._store.save(state, name)
        if self._best:
            # One that was gone on from and never measured may have been removed by this.
            self._best = self._store.best_note()
        self._tell()

    def mark_best(self, metric: float) -> None:
        """Keep the newest checkpoint as the best one, which `metric` (a loss in nats) makes it.

        Raises:
            TrainingError: DiskFull or OutputUnusable; the best is the one before.
        """
        if self._newest and self._context.group.is_first:
            self._best = self._store.mark_best(self._newest, metric)
            self._tell()

    def withdraw(self) -> None:
        """Remove the newest checkpoint, and say so at once: whoever goes on takes the one before.

        Raises:
            TrainingError: OutputUnusable.
        """
        if self._newest and self._context.group.is_first:
            self._newest = self._store.withdraw(self._newest)
            self._best = self._store.best_note()
            self._tell()
            self._context.reporter.write_line()  # the run may end before another is due

    def _tell(self) -> None:
        self._context.reporter.checkpoints(
            self._newest,
            self._best,
            kept=self._store.count(),
            save_seconds=self._store.longest_save or None,
        )

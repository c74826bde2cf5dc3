"""Pre-training: learn to predict the next token.

    until all steps are taken: look at the validation data, if that is due;
        take the windows of the step, predict, compare, correct; save, if that is due

Which windows a step takes is a function of its number and the seed: a resumed run, and one of more
processes, takes the same. What is due after a step is done before the next: a run that is resumed
there does it again.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.checkpointer import Checkpointer
from puna_trainer.config.output import StageName
from puna_trainer.device import autocast, compute_type
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.batches import read_windows, share_of, window_count
from puna_trainer.language.compilation import compiling_pays, has_compiler
from puna_trainer.language.corpus import open_corpus
from puna_trainer.language.flops import flops_per_token, peak_flops, utilisation
from puna_trainer.language.hub_layout import read_weights
from puna_trainer.language.loss import perplexity_of, summed_loss
from puna_trainer.language.model import Llama
from puna_trainer.language.spread import Lay, spread
from puna_trainer.language.timetable import timetable_of
from puna_trainer.language.tokens import Part
from puna_trainer.language.validation import validation_loss
from puna_trainer.loop import take_steps
from puna_trainer.optimizer import (
    build_optimizer,
    guarded_step,
    non_finite,
    non_finite_measure,
    set_rate,
)
from puna_trainer.parallel import accumulating, read_states, whole
from puna_trainer.randomness import RandomStates, seed_everything
from puna_trainer.schedule import course_of
from puna_trainer.stage import StageContext

LOOK_STEPS: Final = 20
"""Steps of a GPU between two looks at what it computed: each look waits for it."""
LOOK_SECONDS: Final = 1.0
"""Longest time between two looks; progress that is older says too little."""


class Taken(NamedTuple):
    """A step that was taken, and not looked at yet."""

    step: int
    epoch: int
    rate: float
    loss: Tensor
    """Share of this process in the mean loss of the batch, a scalar."""
    norm: Tensor
    """Length of the gradient, a scalar."""


def pretrain(context: StageContext) -> None:
    """Train the language model of a run; its checkpoints are what is left.

    Raises:
        TrainingError: NonFiniteLoss, DiskFull and others; the checkpoints before are kept.
        Interrupted: SIGTERM came, and the state was saved.
    """
    take_steps(Training(context))


class Training:
    """What is trained, and how far it is."""

    def __init__(self, context: StageContext, lay: Lay = spread) -> None:
        """Build everything, and go on from the newest checkpoint if there is one.

        Args:
            context: What the stage is given.
            lay: How the model is laid on the processes.
        """
        run, device, group = context.run, context.device, context.group
        chosen = run.hyperparameters
        # What is measured in the end is opened now: a run should not fail there for want of data.
        measured = (Part.HELD_OUT,) if StageName.EVALUATE in run.stage_names() else ()
        corpus = open_corpus(context, Part.TRAIN, Part.VALIDATION, *measured)
        self.context, self.chosen, self.shape = context, chosen, corpus.shape
        self.train_ids_N = corpus.parts[Part.TRAIN].ids_N
        self.validation_ids_N = corpus.parts[Part.VALIDATION].ids_N
        parts = chosen.accumulation_steps * group.size
        if chosen.batch_size < parts:
            raise TrainingError(
                FailureReason.BAD_CONFIG,
                f"hyperparameters.batchSize: {chosen.batch_size} examples cannot be shared by "
                f"{group.size} processes in {chosen.accumulation_steps} parts each; use {parts}",
            )
        windows = window_count(len(self.train_ids_N), self.shape.context_length)
        self.timetable = timetable_of(windows, chosen, run.checkpoint)
        self.tokens_per_step = chosen.batch_size * self.shape.context_length
        seed_everything(chosen.seed, device, deterministic=chosen.deterministic)
        llama = Llama(self.shape)
        if corpus.start:
            llama.load_state_dict(read_weights(corpus.start, self.shape))
        self.model = lay(llama.to(device), group)
        self.course = course_of(chosen, self.timetable.total_steps, self.timetable.steps_per_epoch)
        self.optimizer = build_optimizer(self.model, chosen)
        self.dtype = compute_type(chosen.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        # The peaks that are known are those of this kind of numbers.
        known = device.type == "cuda" and self.dtype is torch.bfloat16
        self.peak = peak_flops(torch.cuda.get_device_name(device)) if known else None
        self.taken: list[Taken] = []
        self.looked_at = time.monotonic()
        self.checkpoints = Checkpointer(context)
        self.step, self.patience = self.checkpoints.resume(
            self.model, self.optimizer, self.scaler, total_steps=self.timetable.total_steps
        )
        work = flops_per_token(self.shape) * self.tokens_per_step * self.timetable.total_steps
        if compiling_pays(device.type, flops=work / group.size, compiler=has_compiler()):
            context.reporter.message("compiling the model")
            self.model.compile()

    def is_done(self) -> bool:
        """Do what is due before the next step; return whether there is none."""
        if self.timetable.evaluates(self.step):
            self.evaluate()
        return self.step == self.timetable.total_steps or self.patience.is_exhausted(
            self.chosen.early_stopping
        )

    def take_step(self) -> None:
        """Take the next step; what it computed is not looked at yet."""
        chosen, group, device = self.chosen, self.context.group, self.context.device
        rate = self.course.rate(self.step)
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=device)
        parts = share_of(
            self.timetable.batches.of_step(self.step),
            parts=chosen.accumulation_steps,
            rank=group.rank,
            size=group.size,
        )
        for index, windows in enumerate(parts):
            inputs_BT, targets_BT = read_windows(
                self.train_ids_N, windows, self.shape.context_length, device
            )
            with accumulating(self.model, last=index == len(parts) - 1):
                with autocast(device, self.dtype):
                    logits_BTV = self.model(inputs_BT)
                # Over the whole batch: parts and processes of unequal size count right.
                part = summed_loss(logits_BTV, targets_BT) / self.tokens_per_step
                self.scaler.scale(part * group.size).backward()
            loss += part.detach()
        self.scaler.unscale_(self.optimizer)
        norm = whole(clip_grad_norm_(self.model.parameters(), chosen.gradient_clip))
        guarded_step(self.optimizer, norm, self.scaler)
        epoch = self.timetable.batches.epoch_after(self.step) + 1
        self.step += 1
        self.taken.append(Taken(self.step, epoch, rate, loss, norm))

    def has_to_look(self) -> bool:
        """Return whether to look at the steps that were taken; all processes get the same."""
        if self.context.device.type == "cpu" or len(self.taken) == LOOK_STEPS:
            return True
        late = time.monotonic() - self.looked_at >= LOOK_SECONDS
        return self.context.group.any(flag=late or self.context.stop.requested)

    def look(self) -> bool:
        """Log the steps that were taken; return whether the run was asked to end.

        Raises:
            TrainingError: NonFiniteLoss; the weights are those before the first such step.
        """
        taken, self.taken = self.taken, []
        norms = torch.stack([step.norm for step in taken]).tolist()
        *losses, stops = self.context.group.sum(
            (
                *torch.stack([step.loss for step in taken]).tolist(),
                float(self.context.stop.requested),
            )
        )
        entries: list[dict[str, Any]] = []
        for step, loss, norm in zip(taken, losses, norms, strict=True):
            skipped = self.scaler.is_enabled() and not math.isfinite(norm)
            if not math.isfinite(loss) or not (skipped or math.isfinite(norm)):
                raise non_finite(step.step, loss, norm)
            entry = {
                "step": step.step,
                "epoch": step.epoch,
                "loss": loss,
                "learningRate": step.rate,
            }
            entries.append(entry if skipped else {**entry, "gradientNorm": norm})
        tokens = len(taken) * self.tokens_per_step
        began, self.looked_at = self.looked_at, time.monotonic()
        speed = tokens / self.context.group.size / (self.looked_at - began)
        share = utilisation(self.shape, speed, self.peak)
        if share is not None:
            entries[-1]["modelFlopsUtilisation"] = share
        self.context.reporter.steps(entries, tokens)
        return stops > 0

    def save(self) -> None:
        """Write a checkpoint; all processes have to, the first one writes."""
        weights, optimizer = read_states(self.model, self.optimizer)
        if not self.context.group.is_first:
            return
        batches = self.timetable.batches
        epoch = batches.epoch_after(self.step)
        state = TrainingState(
            model=weights,
            optimizer=optimizer,
            scaler=self.scaler.state_dict(),
            step=self.step,
            epoch=epoch,
            batches=self.step - epoch * batches.windows // batches.batch_size,
            random=RandomStates.capture(self.context.device),
            inputs=self.context.inputs,
            patience=self.patience,
            description={"shape": asdict(self.shape)},
        )
        self.checkpoints.save(state, self.timetable.name(self.step))

    def evaluate(self) -> None:
        """Look at the validation data; the checkpoint of this step may be the best.

        Raises:
            TrainingError: NonFiniteLoss; the checkpoint of this step is gone, those before are not.
            Interrupted: SIGTERM came; it is done again by whoever goes on.
        """
        began = time.monotonic()
        loss = validation_loss(
            self.model,
            self.validation_ids_N,
            self.shape.context_length,
            sequences=-(-self.chosen.batch_size // self.chosen.accumulation_steps),
            dtype=self.dtype,
            context=self.context,
        )
        if not math.isfinite(loss):
            self.checkpoints.withdraw()
            raise non_finite_measure(f"the validation loss after step {self.step}", loss)
        self.looked_at += time.monotonic() - began
        best = self.patience.best
        self.patience = self.patience.after(loss, self.chosen.early_stopping)
        if best is None or loss < best:
            self.checkpoints.mark_best(loss)
        self.context.reporter.evaluation(
            {
                "step": self.step,
                "epoch": self.timetable.batches.epoch_after(self.step - 1) + 1,
                "valLoss": loss,
                "perplexity": perplexity_of(loss),
            },
            ends_epoch=self.timetable.ends_epoch(self.step),
        )

"""Training of a classifier: images stay in memory as bytes, a step takes some of them by number.

    until all steps are taken: look at the validation images, if that is due;
        vary images, predict, compare, correct; save, if that is due

Which images a step takes, and how it varies them, is a function of seed, epoch and batch: a resumed
run, and one of more processes, takes the same. What is due after a step is done before the next: a
run that is resumed there does it again.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.checkpointer import Checkpointer
from puna_trainer.data.images import ImageData, load_images
from puna_trainer.data.stage import FOLDER as DATA
from puna_trainer.device import autocast, compute_type
from puna_trainer.images.alone import check_parts
from puna_trainer.images.augment import augment, choices
from puna_trainer.images.evaluate import measure
from puna_trainer.images.models import Description, build
from puna_trainer.images.recorded import Learn, RecordedStep, can_record
from puna_trainer.images.splits import parts_of, resident
from puna_trainer.images.timetable import timetable_of
from puna_trainer.loop import take_steps
from puna_trainer.optimizer import (
    build_optimizer,
    guarded_step,
    non_finite,
    non_finite_measure,
    set_rate,
)
from puna_trainer.parallel import accumulating, read_states, replicate
from puna_trainer.randomness import RandomStates, generator
from puna_trainer.schedule import course_of
from puna_trainer.stage import StageContext
from puna_trainer.validation import look_of

LOOK_STEPS: Final = 20
"""Steps of a GPU between two looks at what it computed: each look waits for it."""


class Taken(NamedTuple):
    """A step that was taken, and not looked at yet."""

    step: int
    epoch: int
    rate: float
    loss: torch.Tensor
    """Share of this process in the mean loss of the batch, a scalar."""
    norm: torch.Tensor
    """Length of the gradient, a scalar."""
    examples: int
    """Images of the batch."""


def train(context: StageContext) -> None:
    """Train on the prepared data of a run: the stage. See `fit`."""
    fit(context, load_images(context.folder / DATA))


def fit(context: StageContext, data: ImageData) -> None:
    """Train the classifier of a run; its checkpoints are what is left.

    Raises:
        TrainingError: BadConfig, network, batches and images do not go together; NonFiniteLoss,
            DiskFull and others; the checkpoints before are kept.
        Interrupted: SIGTERM came, and the state was saved.
    """
    take_steps(Training(context, data))


class Training:
    """What is trained, and how far it is."""

    def __init__(self, context: StageContext, data: ImageData) -> None:
        """Build everything, and go on from the newest checkpoint if there is one."""
        run, device, group = context.run, context.device, context.group
        chosen = run.hyperparameters
        assert run.model.name is not None  # noqa: S101 - refused before
        _, channels, height, width = data.train.images_NCHW.shape
        self.description = Description(run.model.name, channels, height, width, data.classes)
        self.timetable = timetable_of(len(data.train.labels_N), chosen, run.checkpoint)
        check_parts(
            self.description,
            len(data.train.labels_N),
            chosen,
            total_steps=self.timetable.total_steps,
            processes=group.size,
        )
        self.classifier = build(self.description)
        self.classifier.standardise_by(data.train.images_NCHW)
        # A no-op for what is not convolved; convolutions of processors and GPUs are faster so.
        self.classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.context = context
        self.chosen = chosen
        self.course = course_of(chosen, self.timetable.total_steps, self.timetable.batches)
        self.optimizer = build_optimizer(self.classifier, chosen)
        self.dtype = compute_type(chosen.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.taken: list[Taken] = []
        self.order_N = torch.empty(0)
        self.order_epoch = -1
        self.checkpoints = Checkpointer(context)
        self.step, self.patience = self.checkpoints.resume(
            self.classifier, self.optimizer, self.scaler, total_steps=self.timetable.total_steps
        )
        self.train = resident(data.train, device)
        self.validation = resident(data.validation, device)
        self.model = replicate(self.classifier, group)
        self.learn = self._learning()

    def _learning(self) -> Learn:
        """Return the step, recorded where it can be."""
        images, count = self.train.images_NCHW, self.chosen.batch_size
        if self.scaler.is_enabled() or not can_record(
            self.classifier, self.optimizer, images, processes=self.context.group.size
        ):
            return self._learn
        numbers = torch.zeros(count, dtype=torch.int64, device=images.device)
        drawn = choices(count, self.chosen.augmentation, torch.Generator())
        return RecordedStep(self._learn, self.optimizer, numbers, drawn)

    def is_done(self) -> bool:
        """Do what is due before the next step; return whether there is none."""
        if self.timetable.evaluates(self.step):
            self.evaluate()
        return self.step == self.timetable.total_steps or self.patience.is_exhausted(
            self.chosen.early_stopping
        )

    def take_step(self) -> None:
        """Take the next step; what it computed is not looked at yet."""
        chosen = self.chosen
        epoch, batch = divmod(self.step, self.timetable.batches)
        if epoch != self.order_epoch:
            shuffled = torch.randperm(
                len(self.train.labels_N), generator=generator(chosen.seed, "order", epoch)
            )
            self.order_N = shuffled.to(self.train.labels_N.device)
            self.order_epoch = epoch
        numbers = self.order_N[batch * chosen.batch_size : (batch + 1) * chosen.batch_size]
        drawn = choices(
            len(numbers), chosen.augmentation, generator(chosen.seed, "augment", epoch, batch)
        )
        rate = self.course.rate(self.step)
        set_rate(self.optimizer, rate)
        loss, norm = self.learn(numbers, drawn)
        self.step += 1
        self.taken.append(Taken(self.step, epoch + 1, rate, loss, norm, len(numbers)))

    def _learn(self, numbers_N: Tensor, drawn_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Correct the weights by a batch; return its loss and the length of the gradient."""
        chosen, group, device = self.chosen, self.context.group, self.context.device
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=device)
        own = parts_of(len(numbers_N), chosen.accumulation_steps, group)
        for index, part in enumerate(own):
            images_NCHW = self.train.images_NCHW[numbers_N[part]].to(device)
            labels_N = self.train.labels_N[numbers_N[part]].to(device)
            with accumulating(self.model, last=index == len(own) - 1):
                with autocast(device, self.dtype):
                    logits_NK = self.model(
                        augment(images_NCHW, chosen.augmentation, drawn_ND[part])
                    )
                # Over the whole batch: parts of unequal size count right.
                total = cross_entropy(logits_NK.float(), labels_N, reduction="sum")
                total = total / len(numbers_N)
                self.scaler.scale(total * group.size).backward()
            loss += total.detach()
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.classifier.parameters(), chosen.gradient_clip)
        guarded_step(self.optimizer, norm, self.scaler)
        return loss, norm

    def has_to_look(self) -> bool:
        """Return whether to look at the steps that were taken; all processes get the same."""
        alone = self.context.group.size == 1
        return (
            self.context.device.type == "cpu"
            or len(self.taken) == LOOK_STEPS
            or (alone and self.context.stop.requested)
        )

    def look(self) -> bool:
        """Log the steps that were taken; return whether the run was asked to end.

        Raises:
            TrainingError: NonFiniteLoss; nothing that came after it is saved.
        """
        taken, self.taken = self.taken, []
        norms = torch.stack([step.norm for step in taken]).tolist()
        *losses, stops = self.context.group.sum(
            (
                *torch.stack([step.loss for step in taken]).tolist(),
                float(self.context.stop.requested),
            )
        )
        entries = []
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
            entries.append(entry if skipped else entry | {"gradientNorm": norm})
        self.context.reporter.steps(entries, sum(step.examples for step in taken))
        return stops > 0

    def save(self) -> None:
        """Write a checkpoint."""
        if not self.context.group.is_first:
            return
        weights, optimizer = read_states(self.model, self.optimizer)
        epoch, batches = divmod(self.step, self.timetable.batches)
        state = TrainingState(
            model=weights,
            optimizer=optimizer,
            scaler=self.scaler.state_dict(),
            step=self.step,
            epoch=epoch,
            batches=batches,
            random=RandomStates.capture(self.context.device),
            inputs=self.context.inputs,
            patience=self.patience,
            description=self.description.document(),
        )
        self.checkpoints.save(state, self.timetable.name(self.step))

    def evaluate(self) -> None:
        """Look at the validation images; the checkpoint of this step may be the best.

        Raises:
            TrainingError: NonFiniteLoss; the checkpoint of this step is gone, those before are not.
            Interrupted: SIGTERM came; it is done again by whoever goes on.
        """
        look = look_of(self.context, "images")
        measured = measure(self.classifier, self.validation, self.dtype, self.context.group, look)
        if not math.isfinite(measured.loss):
            self.checkpoints.withdraw()
            raise non_finite_measure(f"the validation loss after step {self.step}", measured.loss)
        best = self.patience.best
        self.patience = self.patience.after(measured.loss, self.chosen.early_stopping)
        if best is None or measured.loss < best:
            self.checkpoints.mark_best(measured.loss)
        self.context.reporter.evaluation(
            {
                "step": self.step,
                "epoch": -(-self.step // self.timetable.batches),
                "valLoss": measured.loss,
                "valAccuracy": measured.accuracy,
            },
            ends_epoch=self.timetable.ends_epoch(self.step),
        )

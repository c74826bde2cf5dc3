"""Hyperparameters: how the network learns."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna_trainer.config.document import Document


class Optimizer(StrEnum):
    """Rules that turn gradients into steps."""

    ADAMW = "adamw"
    """Adam with decoupled weight decay, on matrices alone."""
    ADADELTA = "adadelta"
    """Adadelta, as PyTorch's MNIST example uses it."""
    SGD = "sgd"
    """Gradient descent with Nesterov momentum 0.9."""


class Schedule(StrEnum):
    """How the learning rate changes after its warm-up."""

    CONSTANT = "constant"
    """Not at all."""
    COSINE = "cosine"
    """Along half a cosine down to a tenth."""
    STEP = "step"
    """By a factor of 0.7 after each epoch."""


class Precision(StrEnum):
    """Numbers that the network computes with; weights are kept in float32."""

    AUTO = "auto"
    """bfloat16 where the device computes faster with it, float32 elsewhere."""
    FLOAT32 = "float32"
    """32 bits."""
    BFLOAT16 = "bfloat16"
    """16 bits with the range of float32."""
    FLOAT16 = "float16"
    """16 bits, with scaled gradients (cuda)."""


class Augmentation(StrEnum):
    """How training images are varied; test and validation images never are."""

    NONE = "none"
    """Not at all."""
    SHIFT = "shift"
    """Moved by up to two pixels each way."""
    AFFINE = "affine"
    """Moved, turned by up to 10 degrees and scaled by up to a tenth."""
    FLIP = "flip"
    """Mirrored half of the time, and moved by up to two pixels."""


class EarlyStopping(Document):
    """End before the last epoch once nothing gets better."""

    patience: Annotated[int, Field(ge=1, le=1000)]
    """Evaluations in a row without improvement after which training ends."""
    min_delta: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """Least change that counts as an improvement."""


class Hyperparameters(Document):
    """How the network learns."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Times that the whole training data is gone through."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Steps of the optimizer after which training ends, if that is sooner."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Examples of one step, over all accumulated parts and all processes."""
    accumulation_steps: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts that a batch is computed in, one after the other; several processes share them. Runs
    with as many parts learn the same, whatever divisor of that number their processes are."""
    learning_rate: Annotated[float, Field(gt=0, le=100)] | None = None
    """Highest learning rate; if absent 0.001 (adamw), 1.0 (adadelta) or 0.05 (sgd)."""
    optimizer: Optimizer = Optimizer.ADAMW
    """Rule that turns gradients into steps."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate changes."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Steps in which the learning rate rises from 0; if absent 2 percent of all steps."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """Pull of matrices towards 0; if absent 0.1 (adamw) or 0 (adadelta, sgd)."""
    gradient_clip: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """Longest gradient that is used as it is; longer ones are shortened to it."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of every random choice."""
    deterministic: bool = True
    """Choose algorithms whose result does not depend on the order of sums."""
    precision: Precision = Precision.AUTO
    """Numbers that the network computes with."""
    augmentation: Augmentation = Augmentation.NONE
    """How training images are varied."""
    early_stopping: EarlyStopping | None = None
    """End before the last epoch once nothing gets better."""
    evaluate_every_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Steps between two looks at the validation data; once an epoch if absent."""

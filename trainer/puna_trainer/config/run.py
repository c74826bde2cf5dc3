"""Run: everything that one run of the trainer is told, as `run.json` holds it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna_trainer.config.dataset import Dataset, Preparation
from puna_trainer.config.document import Document
from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.model import Model
from puna_trainer.config.output import Checkpoints, Evaluation, Export, Stage, StageName


class Task(StrEnum):
    """What a model is trained for."""

    IMAGE_CLASSIFICATION = "ImageClassification"
    """Tell which of some classes an image belongs to."""
    LANGUAGE_MODEL = "LanguageModel"
    """Predict the next token of a text."""


class Device(StrEnum):
    """Where tensors are computed."""

    AUTO = "auto"
    """cuda, else mps, else cpu."""
    CUDA = "cuda"
    """NVIDIA GPU."""
    MPS = "mps"
    """Apple GPU."""
    CPU = "cpu"
    """Processor."""


STAGES_OF: dict[Task, tuple[StageName, ...]] = {
    Task.IMAGE_CLASSIFICATION: (
        StageName.DATA,
        StageName.TRAIN,
        StageName.EVALUATE,
        StageName.EXPORT,
    ),
    Task.LANGUAGE_MODEL: (
        StageName.DATA,
        StageName.TOKENIZER,
        StageName.PRETRAIN,
        StageName.EVALUATE,
        StageName.EXPORT,
    ),
}
"""Stages of a task that names none, in the order in which any of them run."""


class Run(Document):
    """One run: what to train, on what, how, and where the results go."""

    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    ]
    """Name of the run and of its model."""
    task: Task
    """What the model is trained for."""
    model: Model
    """The network."""
    dataset: Dataset
    """Data to learn from."""
    preparation: Preparation = Preparation()
    """What is done to texts first (LanguageModel)."""
    stages: Annotated[tuple[Stage, ...], Field(max_length=16)] = ()
    """Stages to run; all of the task's if empty."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """How the network learns."""
    checkpoint: Checkpoints = Checkpoints()
    """When the state is kept."""
    evaluation: Evaluation = Evaluation()
    """What is measured in the end."""
    export: Export = Export()
    """Files that are written in the end."""
    output_directory: Annotated[str, Field(min_length=1, max_length=4096)]
    """Folder that everything is written to; a run goes on from what it finds there."""
    upload: Annotated[str, Field(max_length=2048, pattern=r"^(s3|file)://[^\s?#]+$")] | None = None
    """Folder that artifacts are copied to in the end."""
    device: Device = Device.AUTO
    """Where tensors are computed."""

    def stage_names(self) -> tuple[StageName, ...]:
        """Return the stages to run, in order.

        Whatever follows `data` needs the tokenizer that a model to start from brings: taking it is
        a stage that nobody has to list.
        """
        names = tuple(stage.name for stage in self.stages) or STAGES_OF[self.task]
        if self.model.uri is None or set(names) <= {StageName.DATA, StageName.TOKENIZER}:
            return names
        needed = {*names, StageName.TOKENIZER}
        return tuple(name for name in STAGES_OF[self.task] if name in needed)


def read_run(text: str | bytes) -> Run:
    """Return the run that a document of JSON describes.

    Raises:
        pydantic.ValidationError: it has unknown members or wrong values.
    """
    return Run.model_validate_json(text, extra="forbid")

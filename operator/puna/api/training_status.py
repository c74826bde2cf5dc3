"""The status of a TrainingJob: what is observed of its run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from puna.api.conditions import Condition
from puna.api.reasons import ConditionType, Reason
from puna.api.resource import Model
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.progress import CURVE_POINTS, CheckpointNote, CurvePoint, Parity

MAX_ATTEMPTS = 32
"""Attempts that are shown; older ones are counted alone."""


class TrainingProgress(Model):
    """What the trainer last said; at most a few seconds old while it runs."""

    stage: StageName
    """What is being done."""
    done: Annotated[tuple[StageName, ...], Field(max_length=16)] = ()
    """Stages that are done."""
    epoch: int | None = None
    """Epoch, from 1."""
    total_epochs: int | None = None
    """Epochs in all."""
    step: int | None = None
    """Steps of the optimizer that are done."""
    total_steps: int | None = None
    """Steps in all."""
    loss: float | None = None
    """Training loss."""
    val_loss: float | None = None
    """Last validation loss."""
    val_accuracy: float | None = None
    """Last share of validation images that were told right, 0 to 1."""
    perplexity: float | None = None
    """exp of the last validation loss (LanguageModel)."""
    tokens_per_second: float | None = None
    """Speed (LanguageModel)."""
    images_per_second: float | None = None
    """Speed (ImageClassification)."""
    eta_seconds: int | None = None
    """Time until the stage is done."""
    updated_at: datetime
    """When this was so; its age tells whether the run lives."""
    pod: str | None = None
    """Pod whose trainer said so, by the clock of its node."""
    message: str | None = None
    """What takes time, if it is not steps."""
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=CURVE_POINTS)] = ()
    """The loss from the first step to this one."""


class CheckpointStatus(Model):
    """Checkpoints that verify."""

    latest: CheckpointNote | None = None
    """Newest one: a run goes on from it."""
    best: CheckpointNote | None = None
    """Best one: it is evaluated and exported."""
    count: int = 0
    """Checkpoints that are kept."""
    save_seconds: float | None = None
    """Longest time that one took to be written; the grace period of the next Job follows it."""


class ArtifactStatus(Model):
    """A model file that passed its proof."""

    name: str
    """Name that an LLMEndpoint asks for."""
    uri: str
    """Where it lies: pvc://claim/path."""
    sha256: str
    """SHA-256 of the file; of the weights' file for a folder."""
    type: ArtifactType
    """Kind of file."""
    size_bytes: int
    """Size."""
    bits_per_weight: float | None = None
    """Measured, all tensors together."""
    fallback_tensors: int = 0
    """Tensors that are stored in another type than the file's name says."""
    parity: Parity | None = None
    """How closely it behaves like the trained model; absent for safetensors, which are it."""
    uploaded_to: str | None = None
    """Where its copy lies."""


class Attempt(Model):
    """One Pod that ran the trainer (rank 0 of several nodes)."""

    pod: str
    """Name of the Pod."""
    node: str | None = None
    """Node that it ran on."""
    started_at: datetime
    """When the Pod was created."""
    finished_at: datetime | None = None
    """When it ended; absent while it runs."""
    exit_code: int | None = None
    """Exit code of the trainer, if it ended by itself."""
    reason: Reason | None = None
    """How it ended."""
    message: str | None = None
    """The same in a sentence."""
    from_step: int | None = None
    """Step that it went on from."""
    to_step: int | None = None
    """Last step that it told."""


class Lineage(Model):
    """What the result depends on: equal hashes and seed give equal weights on a CPU."""

    seed: int = 0
    """Seed of every random choice."""
    config_hash: str | None = None
    """Of the run's fields that change weights."""
    code_hash: str | None = None
    """Of the trainer's source and its libraries' versions."""
    data_hash: str | None = None
    """Of the prepared data."""
    tokenizer_hash: str | None = None
    """Of the tokenizer."""
    image: str | None = None
    """Image of the trainer."""
    attempts: Annotated[
        tuple[Attempt, ...],
        Field(max_length=MAX_ATTEMPTS, json_schema_extra={"listMapKeys": ["pod"]}),
    ] = ()
    """Pods that ran, oldest first; the newest ones if there were many."""


class Retries(Model):
    """Attempts that ended too early."""

    counted: int = 0
    """By failures, which `backoffLimit` bounds."""
    ignored: int = 0
    """By disruptions and deletions, which do not count."""


class TrainingSummary(Model):
    """Texts for the columns of `kubectl get`, derived from the rest of the status."""

    stage: str = ""
    """What is being done, or how it ended."""
    epoch: str = ""
    """Epoch of how many."""
    step: str = ""
    """Step of how many."""
    loss: str = ""
    """Training loss."""
    metric: str = ""
    """Accuracy or perplexity: measured on the test data once that is done, else on validation."""
    eta: str = ""
    """Time until the stage is done."""


class TrainingJobStatus(Model):
    """What is observed of a TrainingJob."""

    observed_generation: int = 0
    """Generation of the spec that this speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra={"listMapKeys": ["type"]})
    ] = ()
    """Accepted, ResolvedRefs, Admitted, Suspended, DatasetReady, Training, CheckpointValid,
    Evaluated, Exported, ParityVerified, Complete, Failed."""
    run: int = 1
    """Number of the Job that runs it: 1, and one more for each retry that was ordered."""
    retry: str | None = None
    """Value of annotation puna.dev/retry that was carried out last."""
    start_time: datetime | None = None
    """When the first Pod was let run."""
    completion_time: datetime | None = None
    """When it was complete, or had failed."""
    active_since: datetime | None = None
    """Since when it has been let run without a suspension."""
    active_seconds: int = 0
    """Time that it was let run before."""
    progress: TrainingProgress | None = None
    """What the trainer last said."""
    checkpoints: CheckpointStatus = CheckpointStatus()
    """Checkpoints that verify."""
    metrics: dict[str, float] = Field(default_factory=dict, max_length=16)
    """What the evaluation measured: test_accuracy, perplexity, bits_per_byte and more."""
    artifacts: Annotated[
        tuple[ArtifactStatus, ...], Field(max_length=8, json_schema_extra={"listMapKeys": ["name"]})
    ] = ()
    """Model files that passed their proofs."""
    lineage: Lineage = Lineage()
    """What the result depends on."""
    retries: Retries = Retries()
    """Attempts that ended too early."""
    summary: TrainingSummary = TrainingSummary()
    """Texts for `kubectl get`."""


def is_complete(status: TrainingJobStatus) -> bool:
    """Return whether a run has ended well."""
    return any(
        item.type is ConditionType.COMPLETE and item.status == "True" for item in status.conditions
    )

"""Progress and result: what the trainer says while it runs, and in the end (ADR 0003).

Progress is one JSON line on standard output, at most one a second and one at once for every change
of stage; a line counts as progress if it parses as `Progress`. The result goes to the termination
message, and to `result.json` in the output folder.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from puna_trainer.config.document import Document, Sha256
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.exits import FailureReason

CURVE_POINTS: Final = 24
"""Points of the loss curve that travel with progress."""
RESULT_BYTES: Final = 3800
"""Longest result: Kubernetes keeps 4096 bytes of a termination message."""


class CurvePoint(Document):
    """One point of the loss curve."""

    step: int
    """Step of the optimizer."""
    loss: float
    """Training loss, averaged since the point before."""
    val_loss: float | None = None
    """Validation loss, if it was measured since the point before."""


class CheckpointNote(Document):
    """A checkpoint that verifies."""

    name: str
    """Name of its folder."""
    step: int
    """Step after which it was written."""
    sha256: Sha256
    """Digest of its manifest."""
    metric: float | None = None
    """What it was chosen by, for the best one."""


class Hashes(Document):
    """What a result depends on; equal hashes and seed give equal weights on a CPU."""

    config: Sha256
    """Of the run's fields that change weights."""
    code: Sha256
    """Of the trainer's source and its libraries' versions."""
    data: Sha256 | None = None
    """Of the prepared data, once it is there."""
    tokenizer: Sha256 | None = None
    """Of the tokenizer, once there is one."""


class Progress(Document):
    """One line of progress."""

    kind: Literal["progress"] = "progress"
    """Tells progress from other lines of JSON."""
    stage: StageName
    """What is being done."""
    done: tuple[StageName, ...] = ()
    """Stages that are done, or were skipped because nothing they depend on has changed."""
    epoch: int | None = None
    """Epoch, from 1."""
    total_epochs: int | None = None
    """Epochs in all."""
    step: int | None = None
    """Steps of the optimizer that are done."""
    total_steps: int | None = None
    """Steps in all."""
    loss: float | None = None
    """Training loss, averaged over the last steps."""
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
    """When this was so."""
    resumed_from: int | None = None
    """Step that this process went on from."""
    latest: CheckpointNote | None = None
    """Newest checkpoint; absent beside a number of `checkpoints`: there is none."""
    best: CheckpointNote | None = None
    """Best checkpoint; likewise."""
    checkpoints: int | None = None
    """Checkpoints that are kept; absent until the attempt has looked which there are."""
    save_seconds: float | None = None
    """Longest time that a checkpoint took to be written."""
    hashes: Hashes | None = None
    """What the result depends on."""
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=CURVE_POINTS)] = ()
    """The loss from the first step to this one."""
    message: str | None = None
    """What takes time, if it is not steps."""


class Parity(Document):
    """How closely an exported file behaves like the trained model."""

    ids_equal: bool
    """Whether both tokenizers gave the same ids over the whole corpus."""
    nmse: float
    """Normalised mean squared error of the logits, of the 256 positions where it is largest."""
    positions: int
    """Positions that were compared."""
    kld: float | None = None
    """Mean Kullback-Leibler divergence from the trained model, in nats."""
    kld_99: float | None = None
    """The divergence that 99 of 100 positions stay below, in nats."""
    top1: float | None = None
    """Share of positions with the same most likely token, 0 to 1."""
    perplexity_ratio: float | None = None
    """Perplexity over that of the trained model."""
    greedy_equal: bool | None = None
    """Whether greedy texts are the same."""


class Artifact(Document):
    """An exported file that passed its proof."""

    name: str
    """Its type, by which an LLMEndpoint asks for it."""
    path: str
    """Path below the output folder."""
    type: ArtifactType
    """Kind of file."""
    sha256: Sha256
    """Digest of the file; of the weights' file for a folder."""
    size_bytes: int
    """Size of the file."""
    bits_per_weight: float | None = None
    """Measured, all tensors together."""
    fallback_tensors: int = 0
    """Tensors that are stored in another type than the file's name says."""
    parity: Parity | None = None
    """The proof; absent for safetensors, which are the trained model."""
    uploaded_to: str | None = None
    """Where the copy lies, if one was asked for."""


class Result(Document):
    """How a run ended: the termination message, and `result.json`."""

    kind: Literal["result"] = "result"
    """Tells a result from other documents."""
    exit_code: int
    """Exit code of the process."""
    reason: FailureReason | None = None
    """Why it failed; absent if it did not."""
    message: str = ""
    """One sentence for the user: what was found, and the way out."""
    stage: StageName | None = None
    """Stage in which it ended."""
    done: tuple[StageName, ...] = ()
    """Stages that are done."""
    step: int | None = None
    """Steps of the optimizer that are done."""
    checkpoint: CheckpointNote | None = None
    """Newest checkpoint that verifies."""
    metrics: dict[str, float] = Field(default_factory=dict, max_length=16)
    """What the evaluation measured: test_accuracy, perplexity, bits_per_byte ..."""
    hashes: Hashes | None = None
    """What the result depends on."""
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=8)] = ()
    """Files that passed their proofs."""

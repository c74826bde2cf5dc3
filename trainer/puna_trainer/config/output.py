"""Output: stages, checkpoints, evaluation and exported files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna_trainer.config.document import Document


class StageName(StrEnum):
    """Steps from data to a model file."""

    DATA = "data"
    """Fetch, check, filter and split the data."""
    TOKENIZER = "tokenizer"
    """Learn a byte-level BPE tokenizer (LanguageModel)."""
    PRETRAIN = "pretrain"
    """Learn to predict the next token (LanguageModel)."""
    TRAIN = "train"
    """Learn to classify (ImageClassification)."""
    EVALUATE = "evaluate"
    """Measure the best checkpoint on data that nothing was chosen by."""
    EXPORT = "export"
    """Write model files, and prove that they behave like the trained model."""


class Stage(Document):
    """One stage of a run; its inputs are what the stages before it left in the output folder."""

    name: StageName
    """Which one."""


class ArtifactType(StrEnum):
    """Kinds of exported files."""

    SAFETENSORS = "safetensors"
    """Folder in the layout of Hugging Face (LanguageModel), or weights of a classifier."""
    F32 = "F32"
    """GGUF with 32 bits a weight."""
    F16 = "F16"
    """GGUF with 16 bits a weight."""
    BF16 = "BF16"
    """GGUF with 16 bits a weight and the range of 32."""
    Q8_0 = "Q8_0"
    """GGUF with about 8.5 bits a weight."""
    Q6_K = "Q6_K"
    """GGUF with about 6.6 bits a weight; rows of 256 weights."""
    Q5_K_M = "Q5_K_M"
    """GGUF with about 5.7 bits a weight; rows of 256 weights."""
    Q4_K_M = "Q4_K_M"
    """GGUF with about 4.8 bits a weight; rows of 256 weights."""


class Export(Document):
    """Files that are written in the end."""

    types: Annotated[tuple[ArtifactType, ...], Field(min_length=1, max_length=8)] = (
        ArtifactType.SAFETENSORS,
    )
    """Kinds of files; a GGUF needs a LanguageModel."""
    verify: bool = True
    """Whether each GGUF is compared with the trained model before it is registered. Without it
    nothing is registered."""


class Checkpoints(Document):
    """When the state is kept, and how much of it."""

    every_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Steps between two checkpoints; one is also written after each epoch and on SIGTERM."""
    keep: Annotated[int, Field(ge=2, le=100)] = 3
    """Newest checkpoints that are kept, beside the best."""
    save_best_only: bool = False
    """Keep the best and the newest alone; the two newest until one is the best."""


class Question(Document):
    """A text to go on with, and what has to come."""

    prompt: Annotated[str, Field(min_length=1, max_length=4096)]
    """Text that the model goes on with, greedily."""
    expected: Annotated[str, Field(min_length=1, max_length=4096)]
    """Text that has to stand in what it writes."""


class Evaluation(Document):
    """What is measured in the end, and what it is compared with."""

    questions: Annotated[tuple[Question, ...], Field(max_length=64)] = ()
    """Texts to go on with (LanguageModel)."""
    baseline_perplexity: Annotated[float, Field(gt=0, le=1_000_000_000)] | None = None
    """Perplexity of an older model with the same tokenizer and data."""
    max_regression_percent: Annotated[int, Field(ge=0, le=1000)] = 5
    """Percent by which the perplexity may be worse than the baseline's."""
    min_accuracy_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Least accuracy on the test data (ImageClassification)."""

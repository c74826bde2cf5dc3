"""Lineage: which TrainingJob a served model comes from, from what, and how good it was."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from puna.api.resource import Model

Scores = Annotated[dict[str, float], Field(max_length=16)]


class ModelLineage(Model):
    """Where a model comes from; kept with its revision, whatever becomes of the TrainingJob."""

    job: str
    """Name of the TrainingJob."""
    uid: str
    """Uid of the TrainingJob: one that is made again under its name is another one."""
    created_at: datetime
    """When the TrainingJob was made: of two the one that was made later is the newer one."""
    completed_at: datetime | None = None
    """When it was complete."""
    seed: int
    """Seed of every random choice."""
    data_hash: str | None = None
    """Of the prepared data."""
    tokenizer_hash: str | None = None
    """Of the tokenizer."""
    scores: Scores = Field(default_factory=dict)
    """What the evaluation measured: perplexity, bits_per_byte and more."""
    sha256: str
    """SHA-256 of the model file."""

"""Base of all documents of the trainer: frozen, in camelCase, every field with a docstring."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
"""SHA-256 in hex."""


class Document(BaseModel):
    """A frozen document in camelCase.

    Unknown members are ignored, so that the operator can read what a newer one wrote; `run.json`
    itself is read with all of them refused (`puna_trainer.config.run.read_run`).
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        allow_inf_nan=False,
    )

"""Attestation: what a model was made of, in `attestation.json` and in the keys of a GGUF. Pure.

Equal hashes and seed give equal weights on one kind of processor.
"""

from __future__ import annotations

from typing import Final

from puna_trainer.config.document import Document, Sha256
from puna_trainer.progress import CheckpointNote, Hashes

PREFIX: Final = "puna."
"""Beginning of the keys' names, after `general.`."""


class Attestation(Document):
    """Where a model comes from."""

    name: str
    """Name of the run."""
    trainer: str
    """Version of the trainer."""
    seed: int
    """Seed of every random choice."""
    hashes: Hashes
    """Digests of configuration, code, data and tokenizer."""
    weights: Sha256
    """Digest of the weights that were exported."""
    checkpoint: CheckpointNote | None = None
    """Checkpoint that they are from."""
    libraries: dict[str, str]
    """Versions of the libraries that they were computed and written with."""

    def notes(self) -> dict[str, str | int]:
        """Return the keys of a GGUF, by what comes after `general.`."""
        hashes = self.hashes.model_dump(exclude_none=True)
        return {
            f"{PREFIX}trainer": self.trainer,
            f"{PREFIX}seed": self.seed,
            **{f"{PREFIX}{name}_sha256": digest for name, digest in hashes.items()},
            f"{PREFIX}weights_sha256": self.weights,
        }

"""TensorBoard: the numbers of the log as events in `logs/tensorboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch.utils.tensorboard.writer import SummaryWriter

from puna_trainer.reporting.log import Entry

NAMES: Final = {
    "loss": "train/loss",
    "learningRate": "train/learning_rate",
    "gradientNorm": "train/gradient_norm",
    "valLoss": "validation/loss",
    "valAccuracy": "validation/accuracy",
    "perplexity": "validation/perplexity",
}
"""Members of an entry that are shown, and their names there."""


class Board:
    """Events of this process; those of later steps that another left are hidden."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._purge_step: int | None = None

    def cut_after(self, step: int) -> None:
        """Hide what was written of later steps."""
        self.close()
        self._purge_step = step + 1

    def add(self, entry: Entry) -> None:
        """Add the numbers of an entry."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        for member, name in NAMES.items():
            if member in entry:
                self._writer.add_scalar(name, entry[member], entry["step"])

    def close(self) -> None:
        """Write what was added, and close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

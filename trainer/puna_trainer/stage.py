"""Stage: what the work of one stage is given. A stage is a function of it, and returns nothing.

What a stage makes lies in the output folder, from where the stages after it take it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch

from puna_trainer.config.run import Run
from puna_trainer.distributed import ProcessGroup
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stop import StopSignal


@dataclass(frozen=True, slots=True)
class StageContext:
    """Everything that a stage may use."""

    run: Run
    """What was asked for."""
    folder: Path
    """Output folder of the run."""
    device: torch.device
    """Where tensors are computed."""
    reporter: Reporter
    """To whom progress is told."""
    stop: StopSignal
    """Whether the run was asked to end."""
    group: ProcessGroup
    """The processes of this run."""
    inputs: str
    """Digest of what the stage depends on. A checkpoint of other inputs is none of this run."""


StageFunction: TypeAlias = Callable[[StageContext], None]

"""Failures: which reason an exception means, and the sentence that goes with it. Pure."""

from __future__ import annotations

import re
from typing import Final

import torch
import torch.distributed as dist

from puna_trainer.distributed import lost
from puna_trainer.errors import FAULTY, NO_ROOM, TrainingError, output_failure
from puna_trainer.exits import FailureReason

NO_MEMORY: Final = re.compile(
    r"not enough memory|can't allocate memory|out of memory", re.IGNORECASE
)
"""What allocators of processors and GPUs say, in exceptions that have no class of their own."""
BETWEEN_PROCESSES: Final = re.compile(
    r"gloo/transport|NCCL error|nccl.*(abort|timeout)", re.IGNORECASE
)


def failure_of(error: Exception) -> TrainingError | None:
    """Return the failure that an exception means; None if nobody foresaw it."""
    if isinstance(error, TrainingError):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _says(error, NO_MEMORY):
        return TrainingError(
            FailureReason.OUT_OF_MEMORY,
            f"{_first_line(error)}; use more hyperparameters.accumulationSteps, a smaller "
            "hyperparameters.batchSize or model, or a machine with more memory",
        )
    if isinstance(error, dist.DistError) or _says(error, BETWEEN_PROCESSES):
        return lost(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM | FAULTY:
        return output_failure(error, error.filename or "outputDirectory")
    return None


def _says(error: Exception, pattern: re.Pattern[str]) -> bool:
    return isinstance(error, RuntimeError) and pattern.search(str(error)) is not None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__

"""K-quants: made of a GGUF of full precision by llama.cpp's own quantizer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch

from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.llama import quiet_library

FILE_TYPES: Final[dict[ArtifactType, str]] = {
    ArtifactType.Q6_K: "LLAMA_FTYPE_MOSTLY_Q6_K",
    ArtifactType.Q5_K_M: "LLAMA_FTYPE_MOSTLY_Q5_K_M",
    ArtifactType.Q4_K_M: "LLAMA_FTYPE_MOSTLY_Q4_K_M",
}
"""llama.cpp's names (`llama.h`, `llama_ftype`)."""


def quantize(source: Path, destination: Path, kind: ArtifactType) -> None:
    """Write `source`, a GGUF of F32, as one of another type; its keys are kept.

    What it holds in the end may be another type (`puna_trainer.export.tensor_types`).

    Raises:
        TrainingError: llama.cpp refuses it, with its own words.
    """
    library, log = quiet_library()
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = getattr(library, FILE_TYPES[kind])
    parameters.nthread = torch.get_num_threads()
    failed = library.llama_model_quantize(os.fsencode(source), os.fsencode(destination), parameters)
    if failed:
        raise TrainingError(
            FailureReason.PARITY_FAILED,
            f"llama.cpp cannot make {kind} of {source.name}: {log.last()}",
        )

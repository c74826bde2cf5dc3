"""K-quants: made of a GGUF of full precision by llama.cpp's own quantizer.

Of a write that fails it says as much as of a model that it refuses, and no error number: an
"iostream error". So the volume itself is asked, by writing what was still to be written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.export.llama import quiet_library

FILE_TYPES: Final[dict[ArtifactType, str]] = {
    ArtifactType.Q6_K: "LLAMA_FTYPE_MOSTLY_Q6_K",
    ArtifactType.Q5_K_M: "LLAMA_FTYPE_MOSTLY_Q5_K_M",
    ArtifactType.Q4_K_M: "LLAMA_FTYPE_MOSTLY_Q4_K_M",
}
"""llama.cpp's names (`llama.h`, `llama_ftype`)."""
SMALLEST: Final[dict[ArtifactType, GGMLQuantizationType]] = {
    ArtifactType.Q6_K: GGMLQuantizationType.Q6_K,
    ArtifactType.Q5_K_M: GGMLQuantizationType.Q5_K,
    ArtifactType.Q4_K_M: GGMLQuantizationType.Q4_K,
}
"""The type of a file's tensors that takes the least room; others take more."""
FLOAT_BYTES: Final = 4
"""Bytes of a weight in the file that it is made of."""
PIECE_BYTES: Final = 2**20
SYNC_PIECES: Final = 64
"""Pieces that are written between two waits for the volume to have them."""


def quantize(source: Path, destination: Path, kind: ArtifactType) -> None:
    """Write `source`, a GGUF of F32, as one of another type; its keys are kept.

    What it holds in the end may be another type (`puna_trainer.export.tensor_types`).

    Raises:
        TrainingError: DiskFull or OutputUnusable, the volume does not take it; ParityFailed,
            llama.cpp refuses it, with its own words. In each case there is no file.
    """
    library, log = quiet_library()
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = getattr(library, FILE_TYPES[kind])
    parameters.nthread = torch.get_num_threads()
    failed = library.llama_model_quantize(os.fsencode(source), os.fsencode(destination), parameters)
    if failed:
        words = log.last()
        try:
            _write_to(destination, least_bytes(source.stat().st_size, kind))
        except OSError as error:
            raise output_failure(error, destination) from error
        finally:
            # What says so, logs and results, may need the room.
            destination.unlink(missing_ok=True)
        raise TrainingError(
            FailureReason.PARITY_FAILED, f"llama.cpp cannot make {kind} of {source.name}: {words}"
        )


def least_bytes(source_bytes: int, kind: ArtifactType) -> int:
    """Return how long the file that is made of so many bytes of F32 is at least. Pure."""
    weights, stored = GGML_QUANT_SIZES[SMALLEST[kind]]
    return source_bytes * stored // (weights * FLOAT_BYTES)


def _write_to(path: Path, length: int) -> None:
    """Write a file on up to a length in bytes, one piece at least.

    What is written is random: some volumes need no room for zeros.

    Raises:
        OSError: what the volume says to that.
    """
    with path.open("ab") as stream:
        done = False
        while not done:
            for _ in range(SYNC_PIECES):
                stream.write(os.urandom(PIECE_BYTES))
                done = stream.tell() >= length
                if done:
                    break
            stream.flush()
            os.fsync(stream.fileno())

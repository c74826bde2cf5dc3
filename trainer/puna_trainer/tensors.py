"""Tensors as files of safetensors, written through to the disk; and their digest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from puna_trainer.files import synchronize

NUMBER: Final = re.compile(r"os error (\d+)")
"""How the library tells the error number of the system."""


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a file.

    Args:
        path: The file.
        tensors: What goes into it; copies are made of those on a device.
        metadata: Texts that go with them.

    Raises:
        OSError: the volume does not take them.
    """
    owned = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    try:
        save_file(owned, path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        number = NUMBER.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    synchronize(path)


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of weights: names, and values in float32."""
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()

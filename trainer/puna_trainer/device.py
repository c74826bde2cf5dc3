"""Device: where tensors are computed, and with which numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import torch

from puna_trainer.config.hyperparameters import Precision
from puna_trainer.config.run import Device
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

DTYPES: Final[dict[Precision, torch.dtype]] = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}
BFLOAT16_CAPABILITY: Final = (8, 0)
"""First compute capability of CUDA devices that compute faster with bfloat16 (Ampere)."""


BFLOAT16_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16")
"""Capabilities of processors that compute faster with bfloat16 (`torch.cpu.get_capabilities`)."""


def choose_device(asked: Device, environment: Mapping[str, str]) -> torch.device:
    """Return the device to compute on; of several GPUs the one of this process.

    Raises:
        TrainingError: BadConfig, the machine has no such device.
    """
    found = available()
    device = found[0] if asked is Device.AUTO else asked
    if device not in found:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"device: {device} is asked for, and this machine has {' and '.join(found)}; "
            "use auto, or a machine that has it",
        )
    if device is not Device.CUDA:
        return torch.device(device)
    # Has to be there before the first matrix product; deterministic algorithms need it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen = torch.device("cuda", int(environment.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(chosen)
    return chosen


def check_precision(asked: Precision, device: torch.device) -> None:
    """Refuse numbers that a device is not to compute with.

    Raises:
        TrainingError: BadConfig, float16 is asked for and the device is no GPU of CUDA.
    """
    if asked is Precision.FLOAT16 and device.type != Device.CUDA:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            "hyperparameters.precision: float16 needs cuda, and this run computes on "
            f"{device.type}; use bfloat16 or auto",
        )


def available() -> list[Device]:
    """Return the devices of this machine, fastest first."""
    found = [Device.CPU]
    if torch.backends.mps.is_available():
        found.insert(0, Device.MPS)
    if torch.cuda.is_available():
        found.insert(0, Device.CUDA)
    return found


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return a context in which a network computes with these numbers, where it can."""
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def compute_type(asked: Precision, device: torch.device) -> torch.dtype:
    """Return the numbers to compute with."""
    if asked is not Precision.AUTO:
        return DTYPES[asked]
    return torch.bfloat16 if _is_faster_with_bfloat16(device) else torch.float32


def _is_faster_with_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in BFLOAT16_INSTRUCTIONS)
    return False

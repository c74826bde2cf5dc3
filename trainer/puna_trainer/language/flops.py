"""Work of a training step, and the share of a device's peak that it reaches. Pure."""

from __future__ import annotations

from typing import Final

from puna_trainer.config.shape import Shape

PEAKS: Final[tuple[tuple[tuple[str, ...], float], ...]] = (
    (("H100", "NVL"), 835e12),
    (("H100", "PCIe"), 756e12),
    (("H100", "HBM3"), 989e12),
    (("A100",), 312e12),
)
"""Words of a device's name, and its operations a second in dense bfloat16: the figures without
sparsity (torchtitan, `get_peak_flops`)."""
EXACT_PEAKS: Final[dict[str, float]] = {"NVIDIA H200": 989e12}
"""The same for names that begin another device's name: an H200 NVL is slower."""


def flops_per_token(shape: Shape) -> int:
    """Return operations that one token costs forwards and backwards.

    6 for each weight that multiplies, 12 x layers x width x context for attention (nanoGPT,
    `estimate_mfu`). An embedding that is read alone multiplies nothing.
    """
    read_alone = 0 if shape.tie_embeddings else shape.vocabulary_size * shape.width
    attention = 12 * shape.layers * shape.width * shape.context_length
    return 6 * (shape.parameters - read_alone) + attention


def peak_flops(device_name: str) -> float | None:
    """Return a device's operations a second in dense bfloat16; None if they are not known."""
    if device_name in EXACT_PEAKS:
        return EXACT_PEAKS[device_name]
    if "MIG" in device_name:  # a part of a device
        return None
    for words, peak in PEAKS:
        if all(word in device_name for word in words):
            return peak
    return None


def utilisation(shape: Shape, tokens_per_second: float, peak: float | None) -> float | None:
    """Return the share of one device's peak, 0 to 1 (MFU); None without a known peak.

    `tokens_per_second` are those of one device.
    """
    return None if peak is None else tokens_per_second * flops_per_token(shape) / peak

"""Augmentation: variants of training images, by what was drawn for each on the processor."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from puna_trainer.config.hyperparameters import Augmentation

SHIFT: Final = 2
"""Pixels each way."""
DEGREES: Final = 10.0
SCALE: Final = 0.1


def choices(count: int, chosen: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Return what is drawn for each image of a whole batch (N, 4), 0 to 1.

    It is drawn for all at once: parts and processes that share a batch vary it as one would.
    """
    if chosen is Augmentation.NONE:
        return torch.empty(count, 0)
    return torch.rand(count, 4, generator=generator)


def augment(
    images_NCHW: torch.Tensor, chosen: Augmentation, drawn_N4: torch.Tensor
) -> torch.Tensor:
    """Return variants of images; what comes in from outside is black.

    Args:
        images_NCHW: Bytes.
        chosen: How they are varied.
        drawn_N4: What was drawn for them.
    """
    if chosen is Augmentation.NONE:
        return images_NCHW
    if chosen is Augmentation.AFFINE:
        return _affine(images_NCHW, drawn_N4)
    if chosen is Augmentation.FLIP:
        mirrored_N = (drawn_N4[:, 2] < 0.5).to(images_NCHW.device)  # noqa: PLR2004 - half of the time
        images_NCHW = torch.where(mirrored_N[:, None, None, None], images_NCHW.flip(3), images_NCHW)
    return _shift(images_NCHW, (drawn_N4[:, :2] * (2 * SHIFT + 1)).long())


def _shift(images_NCHW: torch.Tensor, offsets_N2: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = images_NCHW.shape
    device = images_NCHW.device
    offsets_N2 = offsets_N2.to(device)
    padded = pad(images_NCHW, (SHIFT,) * 4)
    rows_NH = offsets_N2[:, :1] + torch.arange(height, device=device)
    columns_NW = offsets_N2[:, 1:] + torch.arange(width, device=device)
    return padded[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        rows_NH[:, None, :, None],
        columns_NW[:, None, None, :],
    ]


def _affine(images_NCHW: torch.Tensor, drawn_N4: torch.Tensor) -> torch.Tensor:
    _, _, height, width = images_NCHW.shape
    signed_N4 = 2 * drawn_N4 - 1
    angle_N = signed_N4[:, 0] * math.radians(DEGREES)
    scale_N = 1 / (1 + signed_N4[:, 1] * SCALE)
    cosine_N, sine_N = scale_N * angle_N.cos(), scale_N * angle_N.sin()
    # Coordinates run from -1 to 1 over a side, whatever its pixels (affine_grid).
    right_N = signed_N4[:, 2] * 2 * SHIFT / width
    down_N = signed_N4[:, 3] * 2 * SHIFT / height
    matrix_N23 = torch.stack(
        (
            torch.stack((cosine_N, -sine_N * height / width, right_N), 1),
            torch.stack((sine_N * width / height, cosine_N, down_N), 1),
        ),
        1,
    ).to(images_NCHW.device)
    grid = affine_grid(matrix_N23, list(images_NCHW.shape), align_corners=False)
    return grid_sample(images_NCHW.float(), grid, align_corners=False)

"""Pictures: encoded images upright and in bytes, alone or in one array."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from puna_trainer.data.labelled import Bytes
from puna_trainer.storage.faults import corrupt

GRAY: Final = frozenset({"1", "L"})
DEEP: Final = ("I", "F")
"""First letters of modes with more than 8 bits a channel, which cannot be brought to bytes without
a choice that nobody made."""


def decode(encoded: Sequence[Path | bytes], names: Sequence[str]) -> Bytes:
    """Return the pixels of images (N, C, H, W): one channel if all are gray, else red, green, blue.

    Raises:
        TrainingError: DataCorrupt, naming the first that is damaged or of another size.
    """
    opened = [
        np.atleast_3d(np.asarray(open_picture(image, f"dataset: {name}"), np.uint8))
        for image, name in zip(encoded, names, strict=True)
    ]
    if not opened:
        return np.zeros((0, 1, 1, 1), np.uint8)
    height, width = opened[0].shape[:2]
    for pixels, name in zip(opened, names, strict=True):
        if pixels.shape[:2] != (height, width):
            raise corrupt(
                f"dataset: {name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, and "
                f"{names[0]} {width} x {height}; bring all images to one size"
            )
    is_color = any(pixels.shape[2] == 3 for pixels in opened)  # noqa: PLR2004 - channels
    channels = 3 if is_color else 1
    images_NCHW = np.empty((len(opened), channels, height, width), np.uint8)
    for index, pixels in enumerate(opened):
        images_NCHW[index] = pixels.transpose(2, 0, 1)
    return images_NCHW


def open_picture(encoded: Path | bytes, name: str) -> Image.Image:
    """Return one image upright, gray or in colours, with 8 bits a channel.

    Raises:
        TrainingError: DataCorrupt, naming it: it is damaged, or no such image.
    """
    source = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    try:
        with warnings.catch_warnings():
            # Of images that would take much memory; of all else Pillow warns and goes on.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                if image.mode.startswith(DEEP):
                    raise corrupt(
                        f"{name} has more than 8 bits a channel (mode {image.mode}); bring all "
                        "images to 8 bits"
                    )
                upright = ImageOps.exif_transpose(image)
                return upright.convert("L" if upright.mode in GRAY else "RGB")
    except UnidentifiedImageError as error:
        raise corrupt(f"{name} is no image that can be read; leave it out") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise corrupt(f"{name} is damaged or too large: {error}") from error

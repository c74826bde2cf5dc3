"""A classifier is shown images as it was while it learned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from puna_trainer.config.model import ImageModel
from puna_trainer.data.pictures import decode
from puna_trainer.errors import TrainingError
from puna_trainer.images.artifact import write_classifier
from puna_trainer.images.models import Description, build
from puna_trainer.images.predict import predict_files, read_image


def wanted(channels: int, height: int, width: int) -> Description:
    return Description(ImageModel.MLP, channels, height, width, classes=("a", "b"))


def colours() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    file, image = tmp_path / "a.png", colours()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(file, exif=exif)
    learned_NCHW = decode([file], ["a.png"])
    assert learned_NCHW.shape == (1, 3, 4, 3)
    shown_CHW = read_image(file, wanted(3, 4, 3))
    assert torch.equal(shown_CHW, torch.from_numpy(learned_NCHW[0]))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_an_image_of_any_mode_is_shown_as_it_was_learned(tmp_path: Path, mode: str) -> None:
    file, other = tmp_path / "a.png", tmp_path / "b.png"
    colours().convert(mode).save(file)
    colours().save(other)
    learned_NCHW = decode([file, other], ["a.png", "b.png"])
    assert torch.equal(read_image(file, wanted(3, 3, 4)), torch.from_numpy(learned_NCHW[0]))


def test_an_image_of_more_than_8_bits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("I;16", (4, 3), 999).save(file)
    with pytest.raises(TrainingError, match=r"a\.png has more than 8 bits"):
        read_image(file, wanted(1, 3, 4))


def test_a_file_whose_name_is_not_utf8_is_named_with_its_bytes_escaped(tmp_path: Path) -> None:
    described = wanted(3, 3, 4)
    write_classifier(tmp_path / "model", described.document(), build(described).state_dict())
    file = tmp_path / os.fsdecode(b"ros\xe9.png")
    colours().save(file)
    (prediction,) = predict_files(tmp_path / "model", [file])
    assert prediction.file == f"{tmp_path}/ros\\xe9.png"


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_text("no image")
    with pytest.raises(TrainingError, match=r"a\.png is no image"):
        read_image(file, wanted(1, 3, 4))

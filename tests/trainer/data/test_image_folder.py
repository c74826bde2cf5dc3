from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from puna_trainer.data.image_folder import read_image_folder
from tests.trainer.data.refused import refused


def write_image(
    path: Path, mode: str = "L", size: tuple[int, int] = (4, 3), value: int = 7
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in {"L", "I;16", "1"} else (value, 2, 3)).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "animals"
    for part, name in (("train", "cat"), ("train", "dog"), ("test", "dog")):
        for number in range(2):
            write_image(root / part / name / f"{number}.png", value=number)
    return root


def test_each_folder_is_a_class(root: Path) -> None:
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    dataset = read_image_folder(root)
    assert dataset.train.images_NCHW.shape == (4, 1, 3, 4)
    assert dataset.train.labels == ("cat", "cat", "dog", "dog")
    assert dataset.train.images_NCHW[:, 0, 0, 0].tolist() == [0, 1, 0, 1]
    assert dataset.test is not None
    assert dataset.test.labels == ("dog", "dog")


def test_one_coloured_image_makes_all_of_them_coloured(root: Path) -> None:
    write_image(root / "test" / "dog" / "2.jpg", "RGB", value=200)
    dataset = read_image_folder(root)
    assert dataset.train.images_NCHW.shape == (4, 3, 3, 4)
    assert dataset.train.images_NCHW[1, :, 0, 0].tolist() == [1, 1, 1]
    assert dataset.test is not None
    assert np.argmax(dataset.test.images_NCHW[2, :, 0, 0]) == 0


def test_an_image_is_turned_as_its_camera_says(root: Path) -> None:
    image = Image.new("L", (3, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(root / "train" / "cat" / "2.jpg", exif=exif)
    assert read_image_folder(root).train.images_NCHW.shape == (5, 1, 3, 4)


def test_no_test_folder_is_no_test_part(root: Path) -> None:
    for path in sorted((root / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (root / "test").rmdir()
    assert read_image_folder(root).test is None


def test_no_train_folder_is_told_with_what_is_there(root: Path) -> None:
    (root / "train").rename(root / "training")
    with refused("animals has no folder train", "test, training"):
        read_image_folder(root)


def test_an_image_outside_of_the_folders_is_told(root: Path) -> None:
    write_image(root / "train" / "lost.png")
    with refused("animals/train/lost.png lies in no folder of a class"):
        read_image_folder(root)


def test_an_image_of_another_size_is_told(root: Path) -> None:
    write_image(root / "train" / "dog" / "9.png", size=(5, 3))
    with refused("animals/train/dog/9.png has 5 x 3 pixels", "4 x 3"):
        read_image_folder(root)


def test_a_damaged_image_is_told(root: Path) -> None:
    path = write_image(root / "train" / "dog" / "9.png")
    path.write_bytes(path.read_bytes()[:50])
    with refused("animals/train/dog/9.png is damaged"):
        read_image_folder(root)
    path.write_text("no image")
    with refused("animals/train/dog/9.png is no image"):
        read_image_folder(root)


def test_an_image_of_more_than_8_bits_is_told(root: Path) -> None:
    write_image(root / "train" / "dog" / "9.png", "I;16")
    with refused("animals/train/dog/9.png has more than 8 bits"):
        read_image_folder(root)


def test_a_class_whose_name_is_no_utf_8_has_one_that_can_be_written(root: Path) -> None:
    write_image(root / "train" / os.fsdecode(b"\xe9") / "0.png")
    assert read_image_folder(root).train.labels[-1] == "\\xe9"


def test_a_file_whose_name_is_no_utf_8_can_be_named(root: Path) -> None:
    path = root / "train" / "cat" / os.fsdecode(b"\xe9.png")
    path.write_bytes(b"no image")
    with refused("animals/train/cat/\\xe9.png"):
        read_image_folder(root)

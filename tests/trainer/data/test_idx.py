"""Files of MNIST and its kin: right ones, and every way in which they are wrong."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from puna_trainer.data.idx import read_idx
from tests.trainer.data.refused import refused

Images = NDArray[np.uint8]


def images_file(images: Images) -> bytes:
    return struct.pack(">4I", 0x803, *images.shape) + images.tobytes()


def labels_file(labels: list[int]) -> bytes:
    return struct.pack(">2I", 0x801, len(labels)) + bytes(labels)


def write_dataset(folder: Path, *, test: bool = True, packed: bool = False) -> Images:
    """Six training images and two test images, 3 high and 2 wide."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.arange(8 * 6, dtype=np.uint8).reshape(8, 3, 2)
    files = {
        "train-images-idx3-ubyte": images_file(images[:6]),
        "train-labels-idx1-ubyte": labels_file([0, 1, 2, 0, 1, 2]),
    }
    if test:
        files["t10k-images-idx3-ubyte"] = images_file(images[6:])
        files["t10k-labels-idx1-ubyte"] = labels_file([2, 1])
    for name, data in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return images


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read(tmp_path: Path, *, packed: bool) -> None:
    images = write_dataset(tmp_path / "MNIST" / "raw", packed=packed)
    dataset = read_idx(tmp_path)
    assert dataset.train.images_NCHW.shape == (6, 1, 3, 2)
    assert np.array_equal(dataset.train.images_NCHW[:, 0], images[:6])
    assert dataset.train.labels == ("0", "1", "2", "0", "1", "2")
    assert dataset.test is not None
    assert np.array_equal(dataset.test.images_NCHW[:, 0], images[6:])
    assert dataset.test.labels == ("2", "1")


def test_names_of_other_datasets_of_the_kind_are_known(tmp_path: Path) -> None:
    write_dataset(tmp_path, test=False)
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "emnist-train-images-idx3-ubyte")
    (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "emnist-train-labels-idx1-ubyte")
    assert read_idx(tmp_path).test is None
    (tmp_path / "emnist-train-images-idx3-ubyte").rename(tmp_path / "train-images.idx3-ubyte")
    assert len(read_idx(tmp_path).train.labels) == 6


def test_plain_files_go_before_packed_ones(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    for path in list(tmp_path.iterdir()):
        (tmp_path / f"{path.name}.gz").write_bytes(b"left over")
    assert len(read_idx(tmp_path).train.labels) == 6


def test_a_missing_file_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with refused("no train-labels file", "t10k-images-idx3-ubyte"):
        read_idx(tmp_path)
    write_dataset(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with refused("no test labels"):
        read_idx(tmp_path)


def test_an_image_file_in_the_place_of_a_label_file_is_told(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    images = (tmp_path / "train-images-idx3-ubyte").read_bytes()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(images)
    with refused("train-labels-idx1-ubyte begins with 00000803, which is a file of images"):
        read_idx(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0\0", b"<html>", struct.pack(">I", 0x802)])
def test_another_magic_number_is_told(tmp_path: Path, data: bytes) -> None:
    write_dataset(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(data)
    with refused("t10k-images-idx3-ubyte begins with", "00000803"):
        read_idx(tmp_path)


def test_different_counts_are_told(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels_file([0, 1]))
    with refused("train-images-idx3-ubyte holds 6 images", "2 labels"):
        read_idx(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"), [(-1, "ends after 35 of the 36"), (1, "goes on after")]
)
def test_a_file_of_another_length_than_promised_is_told(
    tmp_path: Path, change: int, words: str
) -> None:
    write_dataset(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"x")
    with refused("train-images-idx3-ubyte", words):
        read_idx(tmp_path)


def test_a_header_that_promises_the_world_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    header = struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header)
    with refused("more than any dataset holds"):
        read_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header[:6])
    with refused("ends in its header"):
        read_idx(tmp_path)


def test_a_gzip_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    write_dataset(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with refused("train-images-idx3-ubyte.gz: the gzip file is cut off"):
        read_idx(tmp_path)
    path.write_bytes(b"no gzip at all")
    with refused("the gzip file is damaged"):
        read_idx(tmp_path)


def test_test_images_of_another_size_are_told(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(images_file(np.zeros((2, 3, 3), np.uint8)))
    with refused("training images of 3 x 2", "test images of 3 x 3"):
        read_idx(tmp_path)

"""Images become three parts in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from puna_trainer.data.images import load_images, prepare_images
from puna_trainer.data.labelled import Labelled, Part
from puna_trainer.exits import FailureReason
from tests.trainer.data.refused import refused


def part(count: int, start: int = 0, classes: tuple[str, ...] = ("cat", "dog")) -> Part:
    """Images of which each is a number, and of the class that its remainder says."""
    numbers = np.arange(start, start + count, dtype=np.uint8)
    images_NCHW = np.broadcast_to(numbers[:, None, None, None], (count, 1, 2, 2)).copy()
    labels = tuple(classes[number % len(classes)] for number in numbers.tolist())
    return Part(images_NCHW, labels)


def run(folder: Path, dataset: Labelled, percent: int = 10, seed: int = 0) -> dict[str, Any]:
    return prepare_images(dataset, folder, validation_percent=percent, seed=seed, shown="animals")


def numbers(images_NCHW: torch.Tensor) -> set[int]:
    return set(images_NCHW[:, 0, 0, 0].tolist())


def test_the_training_data_are_split_and_the_test_data_are_not(tmp_path: Path) -> None:
    report = run(tmp_path, Labelled(part(100), part(20, 200)))
    data = load_images(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.train.images_NCHW.dtype == torch.uint8
    assert data.train.images_NCHW.shape == (90, 1, 2, 2)
    assert data.train.labels_N.dtype == torch.int64
    assert numbers(data.train.images_NCHW) | numbers(data.validation.images_NCHW) == set(range(100))
    assert len(data.validation.labels_N) == 10
    assert data.test.images_NCHW[:, 0, 0, 0].tolist() == list(range(200, 220))
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.labels_N, split.images_NCHW[:, 0, 0, 0].long() % 2)
    assert report["parts"]["test"] == {"images": 20, "ofClass": {"cat": 10, "dog": 10}}
    assert report["notes"] == []


def test_a_test_part_is_split_off_where_there_is_none_and_that_is_said(tmp_path: Path) -> None:
    report = run(tmp_path, Labelled(part(100), None), percent=20)
    data = load_images(tmp_path)
    parts = [numbers(split.images_NCHW) for split in (data.train, data.validation, data.test)]
    assert [len(found) for found in parts] == [64, 16, 20]
    assert set.union(*parts) == set(range(100))
    assert "no test part of its own: 20 images" in report["notes"][0]


def test_the_same_seed_gives_the_same_file_and_another_does_not(tmp_path: Path) -> None:
    dataset = Labelled(part(100), None)
    digests = [run(tmp_path, dataset, seed=seed)["sha256"] for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_classes_are_in_the_order_of_numbers_where_they_are_numbers(tmp_path: Path) -> None:
    names = tuple(str(number) for number in (10, 2, 33, 1))
    run(tmp_path, Labelled(part(40, classes=names), None))
    assert load_images(tmp_path).classes == ("1", "2", "10", "33")


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with refused("all 10 training images of animals are of one class, 'cat'"):
        run(tmp_path, Labelled(part(10, classes=("cat",)), None))


def test_no_image_or_hardly_one_is_refused(tmp_path: Path) -> None:
    with refused("animals holds no training images"):
        run(tmp_path, Labelled(Part(np.zeros((0, 1, 1, 1), np.uint8), ()), None))
    with refused("animals holds 2 images"):
        run(tmp_path, Labelled(part(2), None))


def test_a_class_of_the_test_part_that_nothing_was_learned_of_is_refused(tmp_path: Path) -> None:
    with refused("test part of animals has the class 'cow'"):
        run(tmp_path, Labelled(part(10), part(3, classes=("cow", "dog"))))


def test_a_class_that_is_left_without_training_images_is_told(tmp_path: Path) -> None:
    # The second class has one image, which is held back in the end whatever the seed.
    notes = []
    for seed in range(30):
        images = part(20)
        labels = ("rare", *["common"] * 19)
        notes += run(tmp_path, Labelled(Part(images.images_NCHW, labels), part(0)), seed=seed)[
            "notes"
        ]
    assert "No training image is left of: rare." in notes


def test_data_that_are_not_there_or_not_whole_are_told(tmp_path: Path) -> None:
    with refused("the stage data has to run first", reason=FailureReason.BAD_CONFIG):
        load_images(tmp_path)
    run(tmp_path, Labelled(part(10), None))
    path = tmp_path / "images.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with refused("not whole", reason=FailureReason.BAD_CONFIG):
        load_images(tmp_path)

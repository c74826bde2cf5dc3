"""Tensors that a volume does not take are told as any other file's error is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from puna_trainer.export.huggingface import WEIGHTS, write_folder
from puna_trainer.images.artifact import write_classifier
from puna_trainer.tensors import write_tensors
from tests.trainer.export.models import SHAPE, untrained
from tests.trainer.volumes import little_room

TENSORS = {"weight": torch.arange(4096.0).reshape(64, 64)}


def test_tensors_come_back_as_they_were_in_rows(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"weight": TENSORS["weight"].T})
    assert torch.equal(load_file(tmp_path / "a.safetensors")["weight"], TENSORS["weight"].T)


def test_a_full_volume_is_told_with_its_error_number_and_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with little_room(), pytest.raises(OSError, match="File too large") as raised:
        write_tensors(path, TENSORS)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))


def test_a_classifier_and_a_folder_of_hugging_face_s_layout_tell_it_so(tmp_path: Path) -> None:
    with little_room(), pytest.raises(OSError, match="File too large"):
        write_classifier(tmp_path / "classifier", {}, TENSORS)
    model = untrained()
    with little_room(), pytest.raises(OSError, match="File too large") as raised:
        write_folder(
            tmp_path / "model",
            shape=SHAPE,
            vocabulary=model.vocabulary,
            weights=model.weights,
            tokenizer=tmp_path,
        )
    assert raised.value.filename == str(tmp_path / "model" / WEIGHTS)

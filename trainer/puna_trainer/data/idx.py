"""IDX: the format of MNIST, plain or with gzip (yann.lecun.com/exdb/mnist, section FILE FORMATS).

A file is a magic number (0, 0, type of the values, number of dimensions), the dimensions as 32-bit
big-endian numbers, and the values.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np

from puna_trainer.data.files import data_files, shown
from puna_trainer.data.labelled import Bytes, Labelled, Part
from puna_trainer.storage.faults import corrupt

IMAGES: Final = 0x803
"""Magic number of a file of images: bytes in three dimensions."""
LABELS: Final = 0x801
"""Magic number of a file of labels: bytes in one dimension."""
WORDS: Final = {IMAGES: "images", LABELS: "labels"}
NAME: Final = re.compile(
    r"(?:.*[-_.])?(?P<part>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx\d[-_.]ubyte"
    r"(?P<packed>\.gz)?"
)
MOST_BYTES: Final = 64 * 1024**3
"""Bytes that a header may promise."""


def read_idx(root: Path) -> Labelled:
    """Read the files of MNIST and its kin from a folder, however deep they lie.

    Raises:
        TrainingError: DataCorrupt, naming the file and what is wrong with it.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in data_files(root):
        match = NAME.fullmatch(path.name)
        if match is not None:
            key = ("train" if match["part"] == "train" else "test", match["kind"])
            if key not in found or match["packed"] is None:  # torchvision leaves both there
                found[key] = path
    for kind in ("images", "labels"):
        if ("train", kind) not in found:
            there = ", ".join(path.name for path in data_files(root)[:8])
            raise corrupt(
                f"dataset: {root.name} has no train-{kind} file; there are {there}; the four of "
                "MNIST are train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or with .gz"
            )
    for kind, other in (("images", "labels"), ("labels", "images")):
        if ("test", kind) in found and ("test", other) not in found:
            raise corrupt(f"dataset: {root.name} has test {kind}, and no test {other}")
    train = _part(found["train", "images"], found["train", "labels"], root)
    if ("test", "images") not in found:
        return Labelled(train, None)
    test = _part(found["test", "images"], found["test", "labels"], root)
    if test.images_NCHW.shape[1:] != train.images_NCHW.shape[1:]:
        raise corrupt(
            f"dataset: {root.name} has training images of {_size(train)}, and test images of "
            f"{_size(test)}"
        )
    return Labelled(train, test)


def _part(images_path: Path, labels_path: Path, root: Path) -> Part:
    images = _values(images_path, IMAGES, shown(images_path, root))
    labels = _values(labels_path, LABELS, shown(labels_path, root))
    if len(images) != len(labels):
        raise corrupt(
            f"dataset: {shown(images_path, root)} holds {len(images)} images, and "
            f"{shown(labels_path, root)} {len(labels)} labels; they belong to different datasets"
        )
    return Part(images[:, np.newaxis], tuple(map(str, labels.tolist())))


def _values(path: Path, magic: int, name: str) -> Bytes:
    """Return the values of a file in the shape that its header says."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _read(cast("BinaryIO", stream), magic, name)
    except EOFError as error:
        raise corrupt(f"dataset: {name}: the gzip file is cut off; fetch it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(f"dataset: {name}: the gzip file is damaged ({error})") from error
    except OSError as error:
        raise corrupt(f"dataset: {name} cannot be read: {error.strerror}") from error


def _read(stream: BinaryIO, magic: int, name: str) -> Bytes:
    head = stream.read(4)
    found = int.from_bytes(head, "big")
    if len(head) < 4 or found != magic:  # noqa: PLR2004 - bytes of the magic number
        is_other = f", which is a file of {WORDS[found]}" if found in WORDS else ""
        raise corrupt(
            f"dataset: {name} begins with {head.hex() or 'nothing'}{is_other}; a file of "
            f"{WORDS[magic]} begins with {magic:08x}"
        )
    rank = magic & 0xFF
    head = stream.read(4 * rank)
    if len(head) < 4 * rank:
        raise corrupt(f"dataset: {name} ends in its header; fetch it again")
    shape = struct.unpack(f">{rank}I", head)
    wanted = int(np.prod(shape, dtype=object))
    if wanted > MOST_BYTES:
        raise corrupt(f"dataset: {name}: its header promises {shape}, more than any dataset holds")
    if rank > 1 and shape[0] and not wanted:
        raise corrupt(f"dataset: {name}: its header says images of {shape[1]} x {shape[2]} pixels")
    values = stream.read(wanted + 1)
    if len(values) != wanted:
        fault = "ends after" if len(values) < wanted else "goes on after"
        raise corrupt(
            f"dataset: {name} {fault} {min(len(values), wanted)} of the {wanted} bytes that its "
            f"header promises ({' x '.join(map(str, shape))}); fetch it again"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _size(part: Part) -> str:
    return " x ".join(map(str, part.images_NCHW.shape[2:]))

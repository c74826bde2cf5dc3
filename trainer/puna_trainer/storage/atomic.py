"""Atomic: files and folders that appear whole or not at all, also after a power failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from puna_trainer.files import synchronize


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a stream whose bytes take the place of the file in one step, once all are there."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    synchronize(path.parent)


def publish(temporary: Path, path: Path) -> None:
    """Move a finished file or folder to its place in one step; what was there is removed."""
    if path.is_dir():
        shutil.rmtree(path)
    synchronize(temporary)
    temporary.replace(path)
    synchronize(path.parent)

"""Files that appear whole or not at all, also after a power failure."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace the file's content in one step. Callers hold the lock of the file."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def publish(temporary: Path, path: Path) -> None:
    """Move a finished file to its place in one step, its content and its name on disk."""
    synchronize(temporary)
    temporary.replace(path)
    synchronize(path.parent)


def synchronize(path: Path) -> None:
    """Write a file's content, or a folder's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Partial files that nobody will complete: their model was deleted, or its digest corrected."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ABANDONED_AFTER = 24 * 3600.0
"""Seconds without a new byte after which a partial file is dropped."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"(?P<model>.+)\.[0-9a-f]{12}\.part")


def sweep(namespace_folder: Path, log: Callable[[str], None]) -> None:
    """Drop abandoned partial files of the folder's models, unless a fetch holds their lock."""
    oldest = time.time() - ABANDONED_AFTER
    for path, model in _partials(namespace_folder):
        try:
            facts = path.stat()
            if facts.st_mtime >= oldest or not _drop(path, model):
                continue
        except FileNotFoundError:
            continue  # another fetch has just swept here
        log(f"dropped {path}: {facts.st_size} bytes that nobody asked for in a day")


def _partials(namespace_folder: Path) -> Iterator[tuple[Path, str]]:
    for folder in namespace_folder.iterdir():
        if not _DIGEST.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        for path in folder.iterdir():
            found = _PARTIAL.fullmatch(path.name)
            if found:
                yield path, found["model"]


def _drop(path: Path, model: str) -> bool:
    lock = os.open(path.with_name(model + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink()
        path.with_name(path.name + ".json").unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)

"""Volumes with too little room: of their own, where root may mount one, or for one process."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def little_room(limit_bytes: int = 4096) -> Iterator[None]:
    """Let this process write no file that is longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_volume(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a volume of its own, of so many bytes in whole pages; only root may."""
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs")
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

"""A lock file that one process at a time holds; the kernel frees it when the holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.1


def try_lock(path: Path, *, mode: int = 0o600) -> int | None:
    """A descriptor that holds the lock, or None while another process does.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; `waiting` is called while another process holds it, and may raise."""
    while (descriptor := try_lock(path)) is None:
        waiting()
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)

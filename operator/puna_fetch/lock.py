"""The lock of one cached file: one fetch at a time, on the node or on a shared volume.

The kernel drops the lock of a process that dies. The holder touches the file now and then, so that
others can tell a long download from one that stands still.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from puna_fetch.failure import FetchFailed, cache_failure
from puna_fetch.reasons import FetchReason

_POLL_SECONDS = 0.2


class Lock:
    """A lock that is held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def touch(self) -> None:
        """Show the others that the holder is alive."""
        os.utime(self._descriptor)


@contextmanager
def hold(path: Path, *, patience: float, on_wait: Callable[[], None]) -> Iterator[Lock]:
    """Hold the lock at the path; wait for it while its holder shows life every `patience` seconds.

    Raises:
        FetchFailed: with reason CacheUnusable or DiskFull.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cache_failure(error, path) from error
    try:
        _acquire(descriptor, path, patience, on_wait)
        yield Lock(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, patience: float, on_wait: Callable[[], None]) -> None:
    touched, since = 0, time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
        except OSError as error:
            raise cache_failure(error, path) from error
        else:
            return
        seen = os.fstat(descriptor).st_mtime_ns
        if seen != touched:
            touched, since = seen, time.monotonic()
        elif time.monotonic() - since >= patience:
            raise FetchFailed(
                FetchReason.CACHE_UNUSABLE,
                f"{path}: another fetch has held this lock for {patience:g} s and stands still",
            )
        time.sleep(_POLL_SECONDS)

"""When files are renamed into a folder, to the fraction of a millisecond."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from pathlib import Path
from typing import Final, Self

IN_MOVED_TO: Final = 0x80
IN_NONBLOCK: Final = 0o4000
EVENT_BYTES: Final = 4096
POLL_SECONDS: Final = 0.2


class Renames:
    """Times of renames into one folder, in nanoseconds since the epoch."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = int(libc.inotify_init1(IN_NONBLOCK))
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {folder}")
        self.times: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], POLL_SECONDS)[0]:
                self.times.append(time.time_ns())
                os.read(self._descriptor, EVENT_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._descriptor)

"""A file that Envoy appends lines to, read as it grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

PACE: Final = 0.05
"""Time between two looks at the file's size, in seconds."""
LIMIT: Final = 1 << 20
"""Size at which the file is begun anew, in bytes: Envoy only ever appends."""


class EventFile:
    """Hands on whole lines; says when some may have been lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = _size(path)
        self._rest = b""

    async def run(
        self, take: Callable[[list[str]], None], lost: Callable[[], None], *, pace: float = PACE
    ) -> None:
        """Follow the file until cancelled; `lost` is called where lines may be missing."""
        while True:
            await asyncio.sleep(pace)
            if _size(self._path) == self._offset:
                continue
            lines, complete = self.read()
            if lines:
                take(lines)
            if not complete:
                lost()

    def read(self) -> tuple[list[str], bool]:
        """Lines since the last time, and whether they are all."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                complete = size >= self._offset
                if not complete:
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                content = file.read(size - self._offset)
        except FileNotFoundError:
            return [], True
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        if self._offset > LIMIT:
            # What is appended between these two lines is lost.
            os.truncate(self._path, 0)
            self._offset, self._rest, complete = 0, b"", False
        return [line.decode(errors="replace") for line in lines], complete


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

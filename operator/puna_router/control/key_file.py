"""The key that the backends require, in a file that may be replaced while the router runs."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

INTERVAL: Final = 1.0
"""Time between two looks at the file, in seconds."""
_KEY: Final = re.compile(r"[!-~]{1,4096}")

logger = logging.getLogger(__name__)


class KeyFile:
    """The key in a file; the last good one while the file is missing or holds no key."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._problem: str | None = None
        self.key: str | None = None
        self._read()

    @property
    def problem(self) -> str | None:
        """Why there is no key."""
        return self._problem if self.key is None else None

    async def run(self) -> None:
        """Look at the file again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            before = self.key
            self._read()
            if self.key != before:
                self._changed()

    def _read(self) -> None:
        try:
            text = self._path.read_text("utf-8").strip()
            problem = None if _KEY.fullmatch(text) else "does not hold one key of printable ASCII"
        except (OSError, UnicodeDecodeError) as error:
            text, problem = "", f"cannot be read: {error}"
        if problem is None:
            self.key = text
        elif self._problem is None:
            logger.error(f"the key file {self._path} {problem}")
        self._problem = problem and f"the key file {self._path} {problem}"

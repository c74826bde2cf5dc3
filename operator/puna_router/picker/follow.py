"""Follow picker.json: whenever another file is renamed into place, it is read."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from puna_router.picker.config import PickerConfig
from puna_router.picker.members import DocumentError

_Version: TypeAlias = tuple[int, int, int]

logger = logging.getLogger(__name__)


def version_of(content: bytes) -> str:
    """What tells one document from another: its CRC-32, in hexadecimal digits."""
    return f"{zlib.crc32(content):08x}"


class Follower:
    """Looks at the file when asked, and hands on each good document; a bad one changes nothing."""

    def __init__(self, path: Path, apply: Callable[[PickerConfig], None]) -> None:
        self._path = path
        self._apply = apply
        self._seen: _Version | None = None
        self.problem: str | None = f"{path.name} has not been written yet"
        """Why the newest document is not followed."""
        self.version: str | None = None
        """Version of the document that is followed; None before the first one."""

    def look(self) -> None:
        """Read the file if it is another than the last time."""
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._seen:
                return
            self._seen = version
            content = self._path.read_bytes()
            config = PickerConfig.from_json(content)
        except FileNotFoundError:
            return
        except (OSError, DocumentError) as error:
            self._note(f"{self._path.name}: {error}")
            return
        self._note(None)
        self._apply(config)
        self.version = version_of(content)

    def _note(self, problem: str | None) -> None:
        if problem != self.problem and problem is not None:
            logger.error(problem)
        self.problem = problem

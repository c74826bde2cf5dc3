"""Partial: the bytes of a file that have come so far, and the note that says of which file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from puna_trainer.storage.atomic import replacing


@dataclass(frozen=True, slots=True)
class Note:
    """What the source said about the file when its first byte came."""

    validator: str | None
    """Entity tag or time of change: another one means another file."""
    total: int | None
    """Size in bytes; None where the source does not say."""

    @classmethod
    def of(cls, headers: Mapping[str, str], total: int | None) -> Note:
        """Return the note of a reply with these headers, in lower case.

        A weak entity tag does not promise the same bytes (RFC 9110, section 13.1.5).
        """
        tag = headers.get("etag")
        strong = tag if tag and not tag.startswith("W/") else None
        return cls(strong or headers.get("last-modified"), total)


@dataclass(frozen=True, slots=True)
class Partial:
    """The partial file. Only the holder of the output folder may touch it."""

    path: Path

    @property
    def _note_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        """Return the number of bytes there are."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> Note | None:
        """Return the note; None if there is no usable one."""
        try:
            note = Note(**json.loads(self._note_path.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        usable = isinstance(note.validator, str | None) and isinstance(note.total, int | None)
        return note if usable else None

    def begin(self, note: Note) -> None:
        """Drop the bytes there are; those to come belong to the file of this note."""
        self.path.unlink(missing_ok=True)
        with replacing(self._note_path) as stream:
            stream.write(json.dumps(asdict(note)).encode())

    def append(self) -> BinaryIO:
        """Return a stream that adds bytes at the end."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Drop the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

"""The partial file of a download: bytes of one representation, and the note that says which."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from puna_fetch.atomic import write_text
from puna_fetch.note import Note


class Partial:
    """The partial file beside a destination. Only the holder of the lock may touch it."""

    def __init__(self, destination: Path, sha256: str) -> None:
        self.path = destination.with_name(f"{destination.name}.{sha256[:12]}.part")
        self._note_path = self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        """Bytes there are."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def note(self) -> Note | None:
        """The note, if there is a usable one."""
        try:
            return Note.from_json(self._note_path.read_text())
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def begin(self, note: Note) -> None:
        """Drop the bytes there are; those to come belong to the representation of this note."""
        self.path.unlink(missing_ok=True)
        write_text(self._note_path, note.to_json())

    def append(self) -> BinaryIO:
        """A stream that adds bytes at the end."""
        return self.path.open("ab")

    def reject(self, note: Note) -> None:
        """Drop the bytes, and keep the note of what they turned out to be."""
        self.begin(note)

    def discard(self) -> None:
        """Drop the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

    def forget_note(self) -> None:
        """Drop the note, after the bytes were published."""
        self._note_path.unlink(missing_ok=True)

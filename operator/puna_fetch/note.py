"""The note beside a partial file: which representation its bytes belong to. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """What the source said about the file when its first byte came."""

    etag: str | None
    last_modified: str | None
    total: int | None
    """Size in bytes; None where the source does not say."""
    rejected: str | None = None
    """Digest that the whole file turned out to have, where it was not the one asked for."""

    @classmethod
    def of(cls, headers: Mapping[str, str], total: int | None) -> Note:
        """The note for a reply with these headers."""
        return cls(headers.get("etag"), headers.get("last-modified"), total)

    @property
    def validator(self) -> str | None:
        """What an If-Range header may say: a strong entity tag, else the time of change."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def is_same(self, other: Note) -> bool:
        """Whether both are about the same bytes, as far as the source tells."""
        return (
            self.validator is not None
            and self.total is not None
            and (self.validator, self.total) == (other.validator, other.total)
        )

    def to_json(self) -> str:
        """The note as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Note | None:
        """The note in the text; None where it is damaged."""
        try:
            note = cls(**json.loads(text))
        except (ValueError, TypeError):
            return None
        words = (note.etag, note.last_modified, note.rejected)
        if not all(word is None or isinstance(word, str) for word in words):
            return None
        return note if note.total is None or isinstance(note.total, int) else None

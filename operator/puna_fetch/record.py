"""The record of a checked file, so that it is hashed once per file and node.

A record says: the file with this identity had this digest and was a whole GGUF. It vouches for
nothing else, hence a changed file is hashed again. A record that cannot be read counts as none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from puna_fetch.atomic import write_text
from puna_fetch.identity import Identity

VERSION = 1
"""Raised when a check is added that older records do not vouch for."""


@dataclass(frozen=True, slots=True)
class Record:
    """One checked file."""

    sha256: str
    identity: Identity

    def vouches_for(self, identity: Identity, sha256: str) -> bool:
        """Whether the file with this identity is known to have that digest."""
        return self == Record(sha256, identity)

    def to_json(self) -> str:
        """The record as one JSON object."""
        return json.dumps({"version": VERSION, "sha256": self.sha256, **self.identity._asdict()})

    @classmethod
    def from_json(cls, text: str) -> Record | None:
        """The record that the text holds; None where it is damaged or of another version."""
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                return None
            fields = (int(document[field]) for field in Identity._fields)
            return cls(str(document["sha256"]), Identity(*fields))
        except (ValueError, KeyError, TypeError):
            return None


def cached_record_path(destination: Path) -> Path:
    """Where the record of a file in the cache lies."""
    return destination.with_name(destination.name + ".checked")


def source_record_path(directory: Path, sha256: str, inode: int) -> Path:
    """Where the record of a file outside the cache lies."""
    return directory / f"{sha256}-{inode}.checked"


def read_record(path: Path) -> Record | None:
    """The record at the path, if there is a usable one."""
    try:
        return Record.from_json(path.read_text())
    except (OSError, UnicodeDecodeError):
        return None


def is_vouched_for(record_path: Path, path: Path, sha256: str) -> bool:
    """Whether the record says that the file at `path`, as it is now, has the digest."""
    record = read_record(record_path)
    if record is None:
        return False
    try:
        identity = Identity.of(path.stat())
    except OSError:
        return False
    return record.vouches_for(identity, sha256)


def write_record(path: Path, record: Record) -> None:
    """Put the record at the path, whole or not at all."""
    write_text(path, record.to_json())

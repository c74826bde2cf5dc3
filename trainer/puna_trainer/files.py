"""Files that appear whole or not at all, also after a power failure; their digests and names."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replace a file's content in one step."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    synchronize(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Replace a file's content by a document, in one step."""
    write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Return a file's document; None if there is no file, or no document in it."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def readable(name: str) -> str:
    r"""Return a name, or a sentence with one, as text: bytes of it that are not UTF-8 become \xe9.

    Python reads them as halves of surrogate pairs, which no document takes.
    """
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def synchronize(path: Path) -> None:
    """Write a file's content, or a folder's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def document_digest(document: Any) -> str:
    """Return the SHA-256 of a document of JSON, in hex; the order of members does not matter."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

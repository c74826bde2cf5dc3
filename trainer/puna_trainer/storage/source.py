"""Source: the files behind an address, and how each is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from puna_trainer.storage.faults import corrupt


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a source."""

    path: str
    """Relative path; the file's name if the address names a single one."""
    shown: str
    """How messages name it."""
    size: int | None = None
    """Bytes, if the source lists them."""
    version: str | None = None
    """What the source lists that changes with the content."""
    sha256: str | None = None
    """Digest that the source lists."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A GET request. Its address may hold a signature, and is not shown."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Source(Protocol):
    """Files that are downloaded over HTTP."""

    def files(self) -> tuple[RemoteFile, ...]:
        """Return what the address names.

        Raises:
            TrainingError: BadConfig, there is nothing or it may not be read.
            BrokenOffError: the source may have recovered by the next attempt.
        """

    def ask(self, file: RemoteFile) -> Ask:
        """Return the request for one of the files; it is good for one attempt."""

    @property
    def is_folder(self) -> bool:
        """Whether the address names a folder; known once the files are."""


def check_path(path: str, shown: str) -> str:
    """Return the relative path of a file in a listing.

    Raises:
        TrainingError: DataCorrupt, it would lead out of the folder.
    """
    parts = path.split("/")
    if not path or {"", ".", ".."}.intersection(parts) or PurePosixPath(path).is_absolute():
        raise corrupt(f"{shown}: the source lists a file {path!r}, which is no path in a folder")
    if "\0" in path:
        raise corrupt(f"{shown}: the source lists a file {path!r}, which is no name")
    return path

"""Folders of a Pod on this host, and the file that keeps its facts over an agent's restart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from puna_node.facts import PodFacts
from puna_node.manifest import Manifest, PodKey

STATE_FILE: Final = "state.json"
SHORT_UID: Final = 8
KEPT_ATTEMPTS: Final = 2
"""The running attempt and the one before it, for `kubectl logs --previous`."""


@dataclass(frozen=True, slots=True)
class StoredPod:
    """A Pod as it was last seen, and what was known about it."""

    key: PodKey
    pod: Manifest
    facts: PodFacts


STORED_POD: Final = TypeAdapter(StoredPod)


@dataclass(frozen=True, slots=True)
class PodFolder:
    """Folders of one Pod; short names, because paths of UNIX sockets hold 107 bytes."""

    path: Path

    def volume(self, name: str) -> Path:
        """Folder of a volume."""
        return self.path / "v" / name

    def container(self, name: str) -> Path:
        """Folder of a container."""
        return self.path / "c" / name

    def home(self, container: str) -> Path:
        """Working directory of a container."""
        return self.container(container) / "home"

    def attempt(self, container: str, number: int) -> Path:
        """Folder of an attempt of a container."""
        return self.container(container) / str(number)

    def termination_log(self, container: str, number: int) -> Path:
        """File whose text becomes the termination message of an attempt."""
        return self.attempt(container, number) / "termination-log"

    def attempts(self) -> Iterator[Path]:
        """Folders of every attempt of every container."""
        for container in _folders(self.path / "c"):
            for folder in _folders(container):
                if folder.name.isdigit():
                    yield folder

    def save(self, stored: StoredPod) -> None:
        """Write the state file, whole or not at all."""
        temporary = self.path / f"{STATE_FILE}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(STORED_POD.dump_json(stored))
        temporary.rename(self.path / STATE_FILE)

    def load(self) -> StoredPod | None:
        """Read the state file; None where it was never written or cannot be read."""
        try:
            return STORED_POD.validate_json((self.path / STATE_FILE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def remove(self) -> None:
        """Remove everything of the Pod."""
        shutil.rmtree(self.path, ignore_errors=True)

    def prune_attempts(self, container: str, newest: int) -> None:
        """Remove the folders of attempts that nobody asks for any more."""
        for folder in _folders(self.container(container)):
            if folder.name.isdigit() and int(folder.name) <= newest - KEPT_ATTEMPTS:
                shutil.rmtree(folder, ignore_errors=True)


def pod_folders(root: Path) -> Iterator[PodFolder]:
    """Folders of all Pods that this host knows."""
    for folder in _folders(root):
        yield PodFolder(folder)


def folder_of(root: Path, key: PodKey) -> PodFolder:
    """Folder of a Pod: named by the start of its UID, by all of it if that is taken."""
    short = PodFolder(root / key.uid[:SHORT_UID])
    stored = short.load() if short.path.is_dir() else None
    if stored is not None and stored.key.uid != key.uid:
        return PodFolder(root / key.uid)
    return short


def _folders(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(entry for entry in path.iterdir() if entry.is_dir())

"""The folder that Envoy and its control process share.

Envoy sees a file only when it is renamed into place, and re-reads every subscription that watches
the folder of a rename: hence one folder per type.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from puna_router.control.world import HEALTH_EVENTS
from puna_router.picker.config import CONFIG_FILE, STATE_SOCKET

KINDS: Final = ("lds", "rds", "cds", "select", "limits", "sds")
SOCKET_PATH_LIMIT: Final = 103
"""Longest path of a UNIX socket, in bytes: 107 on Linux, 103 on macOS."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths in the shared folder."""

    directory: Path

    @property
    def bootstrap(self) -> Path:
        """Envoy's bootstrap document."""
        return self.directory / "bootstrap.json"

    @property
    def applied(self) -> Path:
        """Documents that Envoy has accepted, for a control process that starts again."""
        return self.directory / "applied.json"

    @property
    def picker(self) -> Path:
        """What the picker is told."""
        return self.directory / CONFIG_FILE

    @property
    def events(self) -> Path:
        """What Envoy tells of its hosts' health."""
        return self.directory / HEALTH_EVENTS

    def resource(self, kind: str, name: str) -> Path:
        """File of one xDS resource."""
        return self.directory / kind / f"{name}.json"

    def create(self) -> None:
        """Make the folders."""
        for kind in KINDS:
            (self.directory / kind).mkdir(parents=True, exist_ok=True)


def write(path: Path, text: str) -> bool:
    """Put a text in place by rename; leave the file alone and say False if it holds it already."""
    try:
        if path.read_text("utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    unfinished = path.with_suffix(".unfinished")
    # Readable to the owner alone: the routes hold the backend key.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)
    return True


def socket_directory(directory: Path) -> Path:
    """Path of a shared folder by which sockets in it are reached: short enough for them.

    A node agent may put the folder deep below its own; then the way leads through a link in the
    folder for temporary files, whose name follows from the folder. Only the bootstrap document says
    which it is: every container may have another folder for temporary files.

    Raises:
        PermissionError: The link is somebody else's.
    """
    # None of the sockets has a longer name.
    if len(os.fsencode(directory / STATE_SOCKET)) <= SOCKET_PATH_LIMIT:
        return directory
    name = sha256(os.fsencode(directory)).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"puna-router-{os.geteuid()}-{name}"
    try:
        link.symlink_to(directory)
    except FileExistsError:
        if link.lstat().st_uid != os.geteuid() or link.readlink() != directory:
            raise PermissionError(
                f"{link} has to be a link to {directory} that this user owns: remove it"
            ) from None
    return link


def bootstrapped_socket(layout: Layout) -> Path:
    """Path of the admin socket as the bootstrap document says it.

    Raises:
        FileNotFoundError: There is no bootstrap document.
    """
    document = json.loads(layout.bootstrap.read_text("utf-8"))
    return Path(document["admin"]["address"]["pipe"]["path"])

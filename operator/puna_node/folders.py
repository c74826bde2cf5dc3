"""The agent's folders: private, and reachable by a short path."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHORT_FOLDER: Final = Path("/tmp")  # noqa: S108 - the link in it is checked to be ours
LONGEST_DIRECT: Final = 40
"""Longest path that is used as it is; a UNIX socket below it has 107 bytes in all."""


@dataclass(frozen=True, slots=True)
class AgentFolders:
    """Where the agent keeps what it knows."""

    directory: Path
    pods: Path
    """Folder of Pods by its short path."""


class FolderError(Exception):
    """A folder of the agent cannot be used as it has to be."""


def prepare_folders(directory: Path, *, open_to_others: int | None) -> AgentFolders:
    """Make the agent's folders.

    Args:
        directory: of the settings.
        open_to_others: uid of Pods' processes where it is not the agent's: it has to pass through.

    Raises:
        FolderError: the short path belongs to somebody else.
    """
    mode = 0o700 if open_to_others is None else 0o711
    pods = directory / "p"
    pods.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)
    pods.chmod(mode)
    directory = directory.resolve()
    if len(str(directory)) <= LONGEST_DIRECT:
        return AgentFolders(directory, directory / "p")
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:8]
    short = SHORT_FOLDER / f"puna-{digest}"
    if not short.is_symlink():
        short.symlink_to(directory)
    info = short.lstat()
    if not stat.S_ISLNK(info.st_mode) or info.st_uid != os.getuid() or short.resolve() != directory:
        raise FolderError(f"{short} exists and is not this agent's link to {directory}")
    return AgentFolders(directory, short / "p")

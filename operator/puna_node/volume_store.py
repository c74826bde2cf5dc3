"""Folders of volumes and their files on this host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from puna_node.manifest import Manifest
from puna_node.mounts import is_within
from puna_node.volume_files import Files

DATA: Final = "..data"
"""Link to the folder that holds the present files: one rename changes them all at once."""


class VolumeError(Exception):
    """A volume cannot be provided on this host."""


def write_files(folder: Path, files: Files, *, user: int | None) -> bool:
    """Make a folder hold exactly these files; whether anything changed.

    Readers see the old files or the new ones: they follow the link `..data`.
    """
    current = folder / DATA
    if current.is_symlink() and _read_files(current) == {
        path: content.data for path, content in files.items()
    }:
        return False
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    generation = 1 + max(
        (int(p.name[2:]) for p in folder.glob("..[0-9]*") if p.name[2:].isdigit()), default=0
    )
    fresh = folder / f"..{generation}"
    fresh.mkdir(mode=0o750)
    for path, content in files.items():
        target = fresh / path
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, content.mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.data)
        target.chmod(content.mode)
    own(fresh, user)
    link = folder / f"{DATA}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(current)
    names = {Path(path).parts[0] for path in files}
    for name in names:
        entry = folder / name
        if not entry.is_symlink():
            entry.symlink_to(f"{DATA}/{name}")
    for entry in folder.iterdir():
        if entry.name.startswith(".."):
            if entry.name[2:].isdigit() and entry != fresh:
                shutil.rmtree(entry)
        elif entry.name not in names:
            entry.unlink()
    own(folder, user)
    return True


def host_folder(volume: Manifest, allowed: tuple[str, ...]) -> Path:
    """Folder or file that a hostPath volume names.

    Raises:
        VolumeError: not there, of another type, or a link leads out of the allowed folders.
    """
    path, kind = Path(volume["hostPath"]["path"]), volume["hostPath"].get("type") or ""
    resolved = [str(Path(folder).resolve()) for folder in allowed]
    if not is_within(str(path.resolve()), resolved):
        raise VolumeError(f"hostPath {path} leads out of the folders allowed on this node")
    match kind:
        case "DirectoryOrCreate":
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        case "FileOrCreate":
            path.touch(exist_ok=True)
    found = {
        "": path.exists(),
        "Directory": path.is_dir(),
        "DirectoryOrCreate": path.is_dir(),
        "File": path.is_file(),
        "FileOrCreate": path.is_file(),
        "Socket": path.is_socket(),
    }
    if not found.get(kind, False):
        raise VolumeError(f"hostPath {path} is not there or not of type {kind or 'any'}")
    return path


def own(path: Path, user: int | None) -> None:
    """Give a folder and what is in it to the user of the processes."""
    if user is None or os.getuid() != 0:
        return
    os.chown(path, user, user, follow_symlinks=False)
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            os.chown(Path(folder, name), user, user, follow_symlinks=False)


def _read_files(link: Path) -> dict[str, bytes]:
    root = link.resolve()
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }

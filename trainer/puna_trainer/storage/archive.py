"""Archive: unpack .zip, .tar, .tar.gz and .tgz without trusting them.

Only files and folders come out, below the folder they are meant for, and at most so many bytes as
an honest archive of that size may hold.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

from puna_trainer.storage.download import Report, megabytes
from puna_trainer.storage.faults import check_room, corrupt, writing

MOST_FACTOR: Final = 200
"""Times its own size that an archive may unpack to; text takes 3 to 20, a bomb 1000."""
MOST_BASE: Final = 16 * 1024 * 1024
"""Bytes that any archive may unpack to, however small it is."""
MOST_MEMBERS: Final = 5_000_000
CHUNK: Final = 1024 * 1024
RESOURCE_FORKS: Final = "__MACOSX"
"""Folder that macOS adds to archives; it holds no data."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive."""

    name: str
    size: int
    kind: str
    """`file`, `folder`, or what it is instead."""
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def unpack(archive: Path, destination: Path, report: Report) -> None:
    """Unpack the archive into a folder that is empty or not there.

    Raises:
        TrainingError: DataCorrupt, it is damaged, or holds what must not come out; DiskFull.
    """
    bound = MOST_BASE + MOST_FACTOR * archive.stat().st_size
    written = 0
    with writing(destination):
        destination.mkdir(parents=True, exist_ok=True)
    try:
        for number, member in enumerate(_members(archive), 1):
            if number > MOST_MEMBERS:
                raise corrupt(f"{archive.name}: it has more than {MOST_MEMBERS} members")
            path = safe_path(member.name, archive.name)
            if path is None or path.parts[0] == RESOURCE_FORKS:
                continue
            if member.kind not in {"file", "folder"}:
                raise corrupt(
                    f"{archive.name}: {member.name} is {member.kind}; an archive may hold files "
                    "and folders alone"
                )
            target = destination / path
            if member.kind == "folder":
                with writing(destination):
                    target.mkdir(parents=True, exist_ok=True)
                continue
            if written + member.size > bound:
                raise corrupt(
                    f"{archive.name}: at {member.name} it unpacks to more than {bound} bytes, "
                    f"{MOST_FACTOR} times its own size; unpack it where you trust it, and name "
                    "the folder"
                )
            check_room(destination, member.size, f"{archive.name} unpacked")
            written += _write(member, target, archive.name)
            report(f"unpacking {archive.name}: {megabytes(written, None)}")
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
    ) as error:
        raise corrupt(
            f"{archive.name}: the archive is damaged, or of a kind that cannot be read: {error}"
        ) from error


def content_root(folder: Path) -> Path:
    """Return the folder itself, or the only folder that an archive's files lie in."""
    while True:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name in {"train", "test"}:
            return folder
        folder = entries[0]


def safe_path(name: str, archive: str) -> PurePosixPath | None:
    """Return the path of a member below the folder; None for the folder itself.

    Raises:
        TrainingError: DataCorrupt, it would lead out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or name.startswith("\\"):
        raise corrupt(f"{archive}: the member {name!r} would lie outside of the folder")
    return path if path.parts else None


def _members(archive: Path) -> Iterator[Member]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        yield from _zip_members(archive)
    elif name.endswith(".tar"):
        with tarfile.open(archive, "r:") as opened:
            yield from _tar_members(opened)
    else:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as opened:
                yield from _tar_members(opened)
            while stream.read(CHUNK):  # the checksum of all stands at the very end
                pass


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "file"
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                kind = "a link" if stat.S_ISLNK(mode) else "a special file"
            if info.flag_bits & 1:
                kind = "encrypted"
            yield Member(info.filename, info.file_size, kind, partial(opened.open, info))


def _tar_members(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        kind = "a special file"
        if info.isreg():
            kind = "file"
        elif info.isdir():
            kind = "folder"
        elif info.issym() or info.islnk():
            kind = "a link"
        yield Member(info.name, info.size, kind, partial(_opened, opened, info))


def _opened(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = opened.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return stream


def _write(member: Member, target: Path, archive: str) -> int:
    written = 0
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise corrupt(f"{archive}: the member {member.name} stands there twice")
    with member.open() as stream, target.open("wb", buffering=0) as out:
        # One byte more than there should be: a checksum is looked at where the member ends.
        while chunk := stream.read(min(CHUNK, member.size - written + 1)):
            written += len(chunk)
            if written > member.size:
                raise corrupt(f"{archive}: {member.name} is longer than the archive says")
            with writing(target.parent):
                out.write(chunk)
    if written != member.size:
        raise corrupt(f"{archive}: {member.name} ends after {written} of {member.size} bytes")
    return written

"""Reading the rotated log files of one attempt of a container.

Lines have the CRI format `<RFC 3339 time> stdout|stderr F|P <text>`; P marks a part of a line that
goes on in the next entry.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from puna_node.manifest import parse_time

BLOCK: Final = 65536
FOLLOW_SECONDS: Final = 0.05
"""Between two looks at a log that is followed; doubled while nothing comes."""
IDLE_SECONDS: Final = 0.2
"""Longest time between two looks."""
OLDEST: Final = 64


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What `kubectl logs` asks for."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


def log_files(log: Path) -> list[Path]:
    """Files of a log, oldest first."""
    rotated = [log.with_name(f"{log.name}.{number}") for number in range(1, OLDEST)]
    return [path for path in (*reversed(rotated), log) if path.exists()]


def format_entry(entry: bytes, *, since: datetime | None, timestamps: bool) -> bytes | None:
    """An entry as it is shown, None if it is older than asked for or not an entry."""
    parts = entry.split(b" ", 3)
    if len(parts) != 4:  # noqa: PLR2004
        return None
    time, _stream, tag, text = parts
    if since is not None and entry_time(time) < since:
        return None
    # Parts of a line are put together again by leaving out what ends a line.
    end = b"" if tag == b"P" else b"\n"
    return (time + b" " if timestamps else b"") + text + end


def entry_time(text: bytes) -> datetime:
    """Time of an entry."""
    return parse_time(text[:26].decode() + "Z")


def tail_offsets(files: list[Path], lines: int) -> Iterator[tuple[Path, int]]:
    """Files and where to begin in them, so that the last so many entries follow."""
    remaining = lines
    begin: list[tuple[Path, int]] = []
    for path in reversed(files):
        if remaining <= 0:
            break
        offset, found = _tail_offset(path, remaining)
        remaining -= found
        begin.append((path, offset))
    yield from reversed(begin)


def tail_text(log: Path, *, lines: int, size: int) -> str:
    """The end of a log, at most so many lines and bytes."""
    out: list[bytes] = []
    for path, offset in tail_offsets(log_files(log), lines):
        with path.open("rb") as file:
            file.seek(offset)
            for entry in file.read().split(b"\n"):
                text = format_entry(entry, since=None, timestamps=False)
                if text is not None:
                    out.append(text)
    return b"".join(out)[-size:].decode(errors="replace")


async def read_log(
    log: Path, query: LogQuery, is_running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The log of an attempt; followed, it ends when the attempt has ended and all was read."""
    left = query.limit_bytes
    async for entries in _blocks(log, query, is_running):
        shown = (
            format_entry(entry, since=query.since, timestamps=query.timestamps) for entry in entries
        )
        text = b"".join(part for part in shown if part is not None)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


async def _blocks(
    log: Path, query: LogQuery, is_running: Callable[[], bool]
) -> AsyncIterator[list[bytes]]:
    """Entries of the log, some at a time."""
    place = _begin(log, query.tail_lines)
    if place is None:
        return
    file = place[0].open("rb")
    file.seek(place[1])
    rest = b""
    superseded = False
    pause = FOLLOW_SECONDS
    try:
        while True:
            running = is_running()  # asked first: what was written before the end is read below
            block = file.read(BLOCK)
            if block:
                *lines, rest = (rest + block).split(b"\n")
                yield lines
                pause = FOLLOW_SECONDS
                await asyncio.sleep(0)
                continue
            newer = _newer(log, file.fileno())
            if newer is not None and superseded:
                file.close()
                file, superseded = newer.open("rb"), False
            elif newer is not None:
                superseded = True  # read once more: it was written to until it was renamed
            elif query.follow and running:
                await asyncio.sleep(pause)
                pause = min(2 * pause, IDLE_SECONDS)
            else:
                return
    finally:
        file.close()


def _begin(log: Path, tail_lines: int | None) -> tuple[Path, int] | None:
    files = log_files(log)
    if not files:
        return None
    if tail_lines is None:
        return files[0], 0
    first = next(tail_offsets(files, tail_lines), None)
    return first or (files[-1], files[-1].stat().st_size)


def _newer(log: Path, descriptor: int) -> Path | None:
    """The file that follows an open one; the oldest there is if that was deleted meanwhile."""
    inode = os.fstat(descriptor).st_ino
    if _inode(log) == inode:
        return None
    files = log_files(log)
    places = [index for index, path in enumerate(files) if _inode(path) == inode]
    if not places:
        return files[0] if files else None
    following = files[places[0] + 1 :]
    return following[0] if following else None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _tail_offset(path: Path, lines: int) -> tuple[int, int]:
    """Offset of the last so many lines of a file, and how many there are from there."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        data = b""
        # One more line end than lines: the last one ends the file.
        while position > 0 and data.count(b"\n") <= lines:
            step = min(BLOCK, position)
            position -= step
            file.seek(position)
            data = file.read(step) + data
    found = data.count(b"\n")
    if found <= lines:
        return position, found
    keep = data.split(b"\n")[-(lines + 1) :]
    return position + len(data) - len(b"\n".join(keep)), lines

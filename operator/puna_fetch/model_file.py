"""Whether a file on disk is a model that a model server can load."""

from __future__ import annotations

import os
from pathlib import Path

from puna_fetch.failure import FetchFailed
from puna_fetch.gguf_header import Header, HeaderCutShortError, InvalidGgufError, read_header
from puna_fetch.reasons import FetchReason

_FIRST_READ = 16 * 1024 * 1024
_LONGEST_HEADER = 64 * 1024 * 1024


def check_model(path: Path, uri: str, *, is_alone: bool) -> None:
    """Refuse a file that is no whole GGUF.

    `is_alone` says that no file lies beside it, hence a part of a split model is of no use.

    Raises:
        FetchFailed: with reason InvalidModel.
        OSError: the file cannot be read.
    """
    try:
        header = _header(path)
    except InvalidGgufError as error:
        raise FetchFailed(FetchReason.INVALID_MODEL, f"{uri}: {error}") from error
    if is_alone and header.parts > 1:
        raise FetchFailed(
            FetchReason.INVALID_MODEL,
            f"{uri}: one of {header.parts} parts of a model: merge them into one file",
        )


def _header(path: Path) -> Header:
    # Read, not mapped: a file that shrinks under a mapping kills the process.
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        wanted = _FIRST_READ
        while True:
            stream.seek(0)
            data = stream.read(wanted)
            try:
                return read_header(data, size)
            except HeaderCutShortError:
                if len(data) < wanted or wanted >= _LONGEST_HEADER:
                    raise
            wanted *= 4

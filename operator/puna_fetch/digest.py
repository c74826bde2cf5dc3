"""The SHA-256 of a whole file, read in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from puna_fetch.identity import Identity

_BUFFER = 1024 * 1024


class Digest(NamedTuple):
    """What was read: the digest, and the file's identity before and after."""

    sha256: str
    before: Identity
    after: Identity


def digest_of(path: Path, on_progress: Callable[[int, int], None]) -> Digest:
    """The digest of the file; tells `on_progress` the bytes read and the bytes there are.

    Raises:
        OSError: the file cannot be read.
    """
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_BUFFER))
    completed = 0
    with path.open("rb", buffering=0) as stream:
        before = Identity.of(os.fstat(stream.fileno()))
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
            completed += count
            on_progress(completed, before.size)
        after = Identity.of(os.fstat(stream.fileno()))
    return Digest(hasher.hexdigest(), before, after)

"""Digest: SHA-256 of a file, and of a folder's list of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from puna_trainer.files import file_digest

ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
"""How `sha256sum` writes such characters, with a backslash before the digest."""


def digest_of(path: Path) -> str:
    """Return the digest of a file, or of a folder's list of files.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return digest_of_list({name: file_digest(path / name) for name in files_below(path)})
    return file_digest(path)


def digest_of_list(digests: Mapping[str, str]) -> str:
    r"""Return the digest of a list of files: of relative paths, each with its own digest.

    It is what `find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`
    prints.
    """
    listed = hashlib.sha256()
    for name in sorted(digests, key=os.fsencode):
        escaped = name.translate(ESCAPES)
        mark = "\\" if escaped != name else ""
        listed.update(os.fsencode(f"{mark}{digests[name]}  {escaped}\n"))
    return listed.hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Yield the relative path of each file in the folder, sorted.

    A mounted ConfigMap or Secret shows its files by links into a folder `..data`, which is not
    looked into: each file counts once.
    """

    def refuse(error: OSError) -> None:
        raise error

    names: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith("..")]
        below = Path(parent)
        names += [
            (below / name).relative_to(folder).as_posix()
            for name in files
            if (below / name).is_file()
        ]
    yield from sorted(names, key=os.fsencode)

"""Files: which of a dataset's files are read, and which part of it each belongs to."""

from __future__ import annotations

import os
import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from puna_trainer.storage.digest import files_below
from puna_trainer.storage.faults import corrupt

TEST: Final = re.compile(r"test([-_.].*)?", re.IGNORECASE)
"""Names, without their ending, of files and folders that hold the dataset's own test part."""
SHOWN_ENDINGS: Final = 4


def data_files(
    root: Path, *, endings: tuple[str, ...] = (), include: tuple[str, ...] = ()
) -> tuple[Path, ...]:
    """Return a dataset's files, sorted by their path: the file itself, or those of a folder.

    Args:
        root: File or folder.
        endings: Of names that are read where nothing is included; all if empty.
        include: Patterns of names that are read; hidden files are only if one is meant.

    Raises:
        TrainingError: DataCorrupt, there is none.
    """
    if root.is_file():
        return (root,)
    names = [PurePosixPath(name) for name in files_below(root)]
    if include:
        found = [
            name for name in names if any(fnmatchcase(name.name, pattern) for pattern in include)
        ]
    else:
        shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        found = [name for name in shown if not endings or name.name.lower().endswith(endings)]
    if not found:
        patterns = include or tuple(f"*{ending}" for ending in endings) or ("any name",)
        raise corrupt(
            f"dataset: {root.name} holds no file of {' or '.join(patterns)}; "
            f"there are {_endings(names)}"
        )
    return tuple(root / name for name in found)


def is_test(path: Path, root: Path) -> bool:
    """Tell whether a table or a file of lines belongs to the dataset's own test part.

    It does if its name, or that of a folder it lies in, is `test`, or begins so and goes on with
    `-`, `_` or `.`.
    """
    below = path.relative_to(root if root.is_dir() else root.parent)
    folders = (TEST.fullmatch(part) for part in below.parts[:-1])
    return any(folders) or TEST.fullmatch(below.stem) is not None


def shown(path: Path, root: Path) -> str:
    """Return how messages name one of a dataset's files."""
    return writable(path.relative_to(root.parent).as_posix())


def writable(name: str) -> str:
    r"""Return the name of a file or folder as text; bytes of it that are no UTF-8 become \xe9."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _endings(names: list[PurePosixPath]) -> str:
    if not names:
        return "none at all"
    counted = Counter(name.suffix or name.name for name in names).most_common(SHOWN_ENDINGS)
    return ", ".join(f"{count} of *{ending}" for ending, count in counted)

"""Mount paths in a command line: there is no mount namespace, so they are rewritten. Pure.

A path is rewritten where it stands at a boundary: at the start of a text, after one of
`= : , ; " ' ( [ {` or white space; and where it ends there too or goes on with `/`.
`--flag=/models/x` and `{"path": "/models"}` are rewritten, `http://host/models`, `/models-old` and
`file:///models/x` (which names a file of the node) are not. Where several mounts
fit, the longest wins.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_BEFORE: Final = r"(?<![^\s=:,;\"'(\[{])"
_AFTER: Final = r"(?=$|[/\s:,;\"')\]}?#&])"


@dataclass(frozen=True, slots=True)
class Mount:
    """A path that a container knows, and the path on this host that stands for it."""

    path: str
    target: str


def rewrite(text: str, mounts: Sequence[Mount]) -> str:
    """Text with every mounted path replaced by its path on this host."""
    targets = {mount.path: mount.target for mount in mounts}
    if not targets:
        return text
    longest_first = sorted(targets, key=len, reverse=True)
    paths = "|".join(re.escape(path) for path in longest_first)
    return re.sub(f"{_BEFORE}({paths}){_AFTER}", lambda match: targets[match.group(1)], text)


def normalize(mount_path: str) -> str:
    """Mount path without trailing slash, double slashes or dots."""
    return posixpath.normpath(mount_path)


def is_within(path: str, folders: Iterable[str]) -> bool:
    """Whether an absolute path is one of the folders or below one; `..` counts as what it means."""
    normal = posixpath.normpath(path)
    if not normal.startswith("/"):
        return False
    return any(
        normal == folder or normal.startswith(folder.rstrip("/") + "/")
        for folder in map(posixpath.normpath, folders)
    )


def is_plainly_within(path: str, folders: Iterable[str]) -> bool:
    """Whether an absolute path lies so without a `..`, which behind a link means another folder."""
    return ".." not in path.split("/") and is_within(path, folders)


def is_safe_sub_path(sub_path: str) -> bool:
    """Whether a `subPath` stays inside its volume."""
    return not sub_path.startswith("/") and ".." not in sub_path.split("/")

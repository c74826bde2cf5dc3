"""Documents of JSON that say what a program reads and writes: their paths are of the container.

There is no mount namespace, so the paths are replaced as in a command line; and as there, what they
name has to lie in what the Pod has mounted. The profile says which members hold paths: nothing else
is touched, whatever it looks like. The program gets a copy, in its HOME.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from puna_node.mounts import Mount, is_plainly_within, is_within

FILE: Final = "file://"


class DocumentError(Exception):
    """A document that may not be given to a program of this host."""


def localized(
    arguments: Sequence[str],
    *,
    members: frozenset[str],
    mounts: Sequence[Mount],
    content: Sequence[str],
    reach: Sequence[str],
    home: Path,
) -> tuple[str, ...]:
    """Return arguments with each document replaced by a copy whose paths are of this host.

    Args:
        arguments: of the container, with mount paths replaced.
        members: those that hold a path or a file:// address.
        mounts: what stands for each path of the container.
        content: folders of volumes that the API server fills; documents lie in one of them.
        reach: folders that paths may lie in.
        home: folder of the copies.

    Raises:
        DocumentError: a document cannot be read, or names what it may not.
    """
    return tuple(
        str(_copy(Path(text), members, mounts, reach, home))
        if text.endswith(".json") and is_plainly_within(text, content)
        else text
        for text in arguments
    )


def located(text: str, mounts: Sequence[Mount]) -> str:
    """Return a path or file:// address of a container as one of this host."""
    scheme, path = (FILE, text.removeprefix(FILE)) if text.startswith(FILE) else ("", text)
    for mount in sorted(mounts, key=lambda item: len(item.path), reverse=True):
        if is_within(path, [mount.path]) and path.startswith(mount.path):
            return scheme + mount.target + path[len(mount.path) :]
    return text


def escaping(document: Any, members: frozenset[str], reach: Sequence[str]) -> Iterator[str]:
    """Yield what of a document leads out of the folders that it may name."""
    for name, text in _paths(document, members):
        path = unquote(urlsplit(text).path) if text.startswith(FILE) else text
        if not path.startswith("/"):
            if ".." in path.split("/"):
                yield f"{name}: {text} is outside the Pod's volumes"
        elif not is_plainly_within(path, reach):
            yield f"{name}: {text} is outside the Pod's volumes"


def _copy(
    source: Path, members: frozenset[str], mounts: Sequence[Mount], reach: Sequence[str], home: Path
) -> Path:
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DocumentError(f"args: {source.name}: no document of JSON: {error}") from error
    document = _replaced(document, members, mounts)
    problem = next(escaping(document, members, reach), None)
    if problem is not None:
        raise DocumentError(f"{source.name}: {problem}")
    target = home / source.name
    target.write_text(json.dumps(document), encoding="utf-8")
    return target


def _replaced(value: Any, members: frozenset[str], mounts: Sequence[Mount]) -> Any:
    if isinstance(value, list):
        return [_replaced(item, members, mounts) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: located(item, mounts)
        if name in members and isinstance(item, str)
        else _replaced(item, members, mounts)
        for name, item in value.items()
    }


def _paths(value: Any, members: frozenset[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, members)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in members and isinstance(item, str):
                yield name, item
            else:
                yield from _paths(item, members)

"""The address of a file on the hub: `hf://org/repo/path/file.gguf[@revision]`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MINIMUM_SEGMENTS = 3  # organization, repository, file


class HubFile(NamedTuple):
    """One file of a model repository."""

    repository: str
    path: str
    revision: str | None


def parse_hub_uri(uri: str) -> HubFile:
    """The file that an `hf://` uri names; an `@` in its name is written `%40`.

    Raises:
        ValueError: the uri has another form.
    """
    location, separator, revision = uri.removeprefix("hf://").partition("@")
    segments = [unquote(segment) for segment in location.split("/")]
    if len(segments) < _MINIMUM_SEGMENTS or not all(segments):
        raise ValueError(f"{uri}: wanted hf://<organization>/<repository>/<file>[@<revision>]")
    if not all(_NAME.fullmatch(segment) for segment in segments[:2]):
        raise ValueError(f"{uri}: '{'/'.join(segments[:2])}' is no name of a repository")
    if {".", ".."} & set(segments) or any("/" in segment for segment in segments):
        raise ValueError(f"{uri}: the path must not contain '..' or an escaped '/'")
    if separator and not revision:
        raise ValueError(f"{uri}: the revision after '@' is empty")
    return HubFile("/".join(segments[:2]), "/".join(segments[2:]), unquote(revision) or None)

"""Location: what an address names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of names of archives."""


class Scheme(StrEnum):
    """Ways to reach a file."""

    FILE = "file"
    HTTP = "http"
    HTTPS = "https"
    S3 = "s3"
    HUB = "hf"


@dataclass(frozen=True, slots=True)
class Location:
    """An address, and the field of `run.json` that holds it."""

    field: str
    uri: str
    scheme: Scheme

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a signature."""
        path, mark, _ = self.uri.partition("?")
        return f"{path}?..." if mark else path

    @property
    def path(self) -> str:
        """What stands after the scheme, without the query."""
        return self.uri.partition("://")[2].partition("?")[0]

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return unquote(PurePosixPath(urlsplit(self.uri).path).name) or "file"


def locate(uri: str, field: str) -> Location:
    """Return what an address in this field names.

    Raises:
        TrainingError: BadConfig, nothing can be reached by such an address.
    """
    scheme = uri.partition("://")[0]
    if scheme == "pvc":
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{field}: {uri} names a claim of a cluster; outside of one name its folder as file:///",
        )
    if scheme not in set(Scheme):
        raise TrainingError(
            FailureReason.BAD_CONFIG, f"{field}: {uri} is none of {', '.join(sorted(Scheme))}"
        )
    location = Location(field, uri, Scheme(scheme))
    if "@" in urlsplit(uri).netloc and location.scheme is not Scheme.HUB:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{field}: an address must not hold a user name or password; "
            "use the files username and password of the credentials' folder",
        )
    return location


def is_archive(name: str) -> bool:
    """Tell whether a file of this name is unpacked."""
    return name.lower().endswith(ARCHIVES)

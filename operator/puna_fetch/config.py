"""The contract of `puna-fetch`: request, progress, reasons, and where a model file lies.

Pure: pydantic only. The operator renders requests with `FetchRequest.to_args()`; the program reads
them back without this module (`puna_fetch.request`), since importing pydantic takes longer than the
rest of a fetch that finds its file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from puna_fetch.hub_uri import parse_hub_uri
from puna_fetch.reasons import FetchReason as FetchReason
from puna_fetch.reasons import FetchStage as FetchStage

MODELS_MOUNT: Final = "/models"
"""Mount path of the model cache."""
SOURCE_MOUNT: Final = "/source"
"""Mount path of the folder or volume behind `file://` and `pvc://`."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Document(BaseModel):
    """A frozen document in camelCase."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
    )


class Failure(Document):
    """The termination message of a failed fetch."""

    reason: FetchReason
    message: str
    """One sentence for the user: what was found, and the way out."""


class Progress(Document):
    """One line of standard output, at most one a second."""

    stage: FetchStage
    completed_bytes: int = Field(ge=0)
    total_bytes: int | None = Field(default=None, ge=0)
    """Absent while the source has not said."""
    bytes_per_second: float | None = Field(default=None, ge=0)
    message: str | None = None
    """Why the source is asked again; absent while all goes well."""


class FetchRequest(Document):
    """What to fetch, and where to put it."""

    uri: str
    """file:// pvc:// http:// https:// hf://"""
    sha256: Sha256 | None = None
    """Digest that the file must have; checked when given, required for http, https and hf."""
    destination: str
    """Path of the model file: where it lies (file, pvc) or where it is published (all others)."""
    credentials_directory: str | None = None
    """Folder of a mounted Secret: `token` (bearer), or `username` and `password`."""
    ca_file: str | None = None
    """PEM bundle that is trusted beside the system's."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs, beside public addresses, that may be connected to."""
    record_directory: str | None = None
    """Writable folder for records of checked files in `/source`; of one namespace alone."""
    max_bytes: int | None = Field(default=None, gt=0)
    """Size in bytes that a download must not exceed."""

    def to_args(self) -> list[str]:
        """The request as arguments of `puna-fetch`, one `--flag=value` each."""
        args = [f"--uri={self.uri}", f"--destination={self.destination}"]
        if self.sha256:
            args.append(f"--sha256={self.sha256}")
        if self.credentials_directory:
            args.append(f"--credentials-directory={self.credentials_directory}")
        if self.ca_file:
            args.append(f"--ca-file={self.ca_file}")
        if self.record_directory:
            args.append(f"--record-directory={self.record_directory}")
        if self.max_bytes:
            args.append(f"--max-bytes={self.max_bytes}")
        args += [f"--allow-network={network}" for network in self.allowed_networks]
        return args


def file_name(uri: str) -> str:
    """Last path segment of a model's uri, percent-decoded; `model.gguf` where it has none.

    Raises:
        ValueError: an `hf://` uri of a wrong form.
    """
    if uri.startswith("hf://"):
        return PurePosixPath(parse_hub_uri(uri).path).name
    return PurePosixPath(unquote(urlsplit(uri).path)).name or "model.gguf"


@lru_cache(maxsize=1024)
def model_path(
    *, uri: str, namespace: str, sha256: str | None, source_root: str | None = None
) -> str:
    """Path of a model's file inside a Pod: the one place where a cache key is computed.

    `source_root` is the host folder mounted at `/source` for a `file://` uri. A
    `pvc://<claim>/<path>` uri has its claim mounted there. All others lie in the cache by namespace
    and digest.

    Raises:
        ValueError: the uri has no such path, or a digest is missing where one is required.
    """
    parts = urlsplit(uri)
    path = PurePosixPath(unquote(parts.path))
    if ".." in path.parts:
        raise ValueError(f"{uri}: the path must not contain '..'")
    if parts.scheme == "file":
        if source_root is None:
            raise ValueError(f"{uri}: no allowed folder holds this path")
        return str(PurePosixPath(SOURCE_MOUNT) / path.relative_to(source_root))
    if parts.scheme == "pvc":
        return str(PurePosixPath(SOURCE_MOUNT) / path.relative_to("/"))
    if sha256 is None:
        raise ValueError(f"{uri}: sha256 is required")
    return str(PurePosixPath(MODELS_MOUNT) / namespace / sha256 / file_name(uri))

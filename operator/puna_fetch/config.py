"""The contract of `puna-fetch`: its request, its progress lines, its reasons, and where a model file lies.

Pure: pydantic only. The operator renders requests with `FetchRequest.to_args()`; the program reads them back.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

MODELS_MOUNT: Final = "/models"
"""Mount path of the model cache."""
SOURCE_MOUNT: Final = "/source"
"""Mount path of the folder or volume behind `file://` and `pvc://`."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FetchReason(StrEnum):
    """Why a fetch failed: the `reason` of its termination message."""

    CHECKSUM_MISMATCH = "ChecksumMismatch"
    """The file's SHA-256 is another than the one asked for."""
    FILE_NOT_FOUND = "FileNotFound"
    """There is no such file at the source."""
    DISK_FULL = "DiskFull"
    """The cache volume has too little room."""
    ADDRESS_REFUSED = "AddressRefused"
    """The address, or one it redirects or resolves to, is not allowed."""
    UNAUTHORIZED = "Unauthorized"
    """The source refused the credentials, or wants some."""
    DOWNLOAD_FAILED = "DownloadFailed"
    """The source did not answer, or broke off, after all retries."""
    INVALID_MODEL = "InvalidModel"
    """The file is no GGUF."""
    INVALID_REQUEST = "InvalidRequest"
    """The request itself cannot be honoured."""


class FetchStage(StrEnum):
    """What a running fetch is doing."""

    WAITING = "Waiting"
    """Another fetch of the same file holds the lock."""
    DOWNLOADING = "Downloading"
    VERIFYING = "Verifying"


class Document(BaseModel):
    """A frozen document in camelCase."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
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


class FetchRequest(Document):
    """What to fetch, and where to put it."""

    uri: str
    """file:// pvc:// http:// https:// hf://"""
    sha256: Sha256 | None = None
    """Digest that the file must have; always checked when given, required for http, https and hf."""
    destination: str
    """Path of the model file: where it lies (file, pvc) or where it is published (all others)."""
    credentials_directory: str | None = None
    """Folder of a mounted Secret: `token` (bearer), or `username` and `password`."""
    ca_file: str | None = None
    """PEM bundle that is trusted beside the system's."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs, beside public addresses, that may be connected to."""

    def to_args(self) -> list[str]:
        """The request as arguments of `puna-fetch`, one `--flag=value` each."""
        args = [f"--uri={self.uri}", f"--destination={self.destination}"]
        if self.sha256:
            args.append(f"--sha256={self.sha256}")
        if self.credentials_directory:
            args.append(f"--credentials-directory={self.credentials_directory}")
        if self.ca_file:
            args.append(f"--ca-file={self.ca_file}")
        args += [f"--allow-network={network}" for network in self.allowed_networks]
        return args


def file_name(uri: str) -> str:
    """Last path segment of a model's uri, percent-decoded; `model.gguf` where it has none."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name or "model.gguf"


def model_path(
    *, uri: str, namespace: str, sha256: str | None, source_root: str | None = None
) -> str:
    """Path of a model's file inside a Pod: the one place where a cache key is computed.

    `source_root` is the host folder mounted at `/source` for a `file://` uri. A `pvc://<claim>/<path>` uri has its
    claim mounted there. All others lie in the cache by namespace and digest.

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

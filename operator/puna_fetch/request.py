"""The program's arguments: `FetchRequest` without pydantic, plus the limits. Pure.

`python -m puna_fetch` runs before every start of a model server. A fetch that finds its file takes
a few tens of milliseconds in all; importing `puna_fetch.config` alone would take 250.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from puna_fetch.failure import FetchFailed
from puna_fetch.reasons import FetchReason

LOCAL_SCHEMES = frozenset({"file", "pvc"})
"""Schemes whose file is used where it lies."""
REMOTE_SCHEMES = frozenset({"http", "https", "hf"})
"""Schemes whose file is downloaded into the cache."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the program waits for what, in seconds."""

    connect: float
    """For an address to be resolved, and for each of its addresses to be connected to."""
    stall: float
    """For the source to send something worth mentioning."""
    retry: float
    """For an attempt that moves on, all retries of the same byte together."""
    wait: float
    """For another fetch of the same file that shows no sign of life."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch, and where to put it."""

    uri: str
    sha256: str | None
    destination: Path
    credentials_directory: Path | None
    ca_file: Path | None
    allowed_networks: tuple[str, ...]
    record_directory: Path | None
    max_bytes: int | None
    limits: Limits

    @property
    def scheme(self) -> str:
        """The scheme of the uri."""
        return self.uri.partition("://")[0]

    @property
    def is_local(self) -> bool:
        """Whether the file is used where it lies."""
        return self.scheme in LOCAL_SCHEMES


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FetchFailed(FetchReason.INVALID_REQUEST, message)


def parse_request(arguments: Sequence[str]) -> Request:
    """The request that the arguments state.

    Raises:
        FetchFailed: with reason InvalidRequest, naming the argument.
    """
    options = _parser().parse_args(arguments)
    request = Request(
        uri=options.uri,
        sha256=options.sha256,
        destination=options.destination,
        credentials_directory=options.credentials_directory,
        ca_file=options.ca_file,
        allowed_networks=tuple(options.allow_network),
        record_directory=options.record_directory,
        max_bytes=options.max_bytes,
        limits=Limits(
            connect=options.connect_timeout,
            stall=options.stall_timeout,
            retry=options.retry_seconds,
            wait=options.lock_timeout,
        ),
    )
    if request.scheme not in LOCAL_SCHEMES | REMOTE_SCHEMES:
        raise FetchFailed(
            FetchReason.INVALID_REQUEST,
            f"uri: scheme '{request.scheme[:20]}' is none of file, pvc, http, https, hf",
        )
    if not request.is_local and request.sha256 is None:
        raise FetchFailed(
            FetchReason.INVALID_REQUEST, f"sha256 is required for {request.scheme}:// addresses"
        )
    if not request.destination.is_absolute():
        raise FetchFailed(FetchReason.INVALID_REQUEST, "destination: must be an absolute path")
    return request


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("must be 64 lower-case hexadecimal digits")
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day
        raise argparse.ArgumentTypeError("must be more than 0 and at most 86400 seconds")
    return seconds


def _bytes(text: str) -> int:
    count = int(text)
    if count <= 0:
        raise argparse.ArgumentTypeError("must be a positive number of bytes")
    return count


def _parser() -> _Parser:
    parser = _Parser(
        prog="puna-fetch",
        description="Put one model file in place, verified, or say why not.",
        allow_abbrev=False,
    )
    parser.add_argument("--uri", required=True, help="file:// pvc:// http:// https:// hf://")
    parser.add_argument("--destination", required=True, type=Path, help="path of the model file")
    parser.add_argument("--sha256", type=_digest, help="digest that the file must have")
    parser.add_argument(
        "--credentials-directory",
        type=Path,
        help="folder with the file token, or the files username and password",
    )
    parser.add_argument("--ca-file", type=Path, help="PEM bundle trusted beside the system's")
    parser.add_argument(
        "--allow-network",
        action="append",
        default=[],
        metavar="CIDR",
        help="addresses, beside public ones, that may be connected to; repeatable",
    )
    parser.add_argument(
        "--record-directory", type=Path, help="writable folder for records of files in place"
    )
    parser.add_argument("--max-bytes", type=_bytes, help="size that a download must not exceed")
    parser.add_argument(
        "--connect-timeout", type=_seconds, default=10, help="per address (default: %(default)s)"
    )
    parser.add_argument(
        "--stall-timeout", type=_seconds, default=60, help="without data (default: %(default)s)"
    )
    parser.add_argument(
        "--retry-seconds",
        type=_seconds,
        default=300,
        help="for retries that bring nothing new (default: %(default)s)",
    )
    parser.add_argument(
        "--lock-timeout",
        type=_seconds,
        default=900,
        help="for another fetch of the same file that stands still (default: %(default)s)",
    )
    return parser

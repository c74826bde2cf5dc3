"""What can go wrong between Puna and the API server, and what follows from it.

    ClusterError
    |-- UnreachableError       no answer: connection refused or broken, timeout
    `-- RefusedError           an answer that is an error
        |-- NotFoundError      404
        |-- ConflictError      409: somebody was faster, or owns a field
        |-- GoneError          410: the version asked for is too old
        |-- RejectedError      400, 403, 413, 422: asking again as it is cannot help
        `-- OverloadedError    429, 5xx and the rest: later

`classify` is the one place that sorts exceptions into "later" and "not like this"; anything it
does not know is a bug.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

MAX_MESSAGE: Final = 1024


class ClusterError(Exception):
    """Anything that the API server or the way to it brought about."""


class UnreachableError(ClusterError):
    """No answer came."""


class RefusedError(ClusterError):
    """The API server answered with an error."""

    def __init__(
        self, *, code: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{code} {reason}: {message}" if reason else f"{code}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFoundError(RefusedError):
    """There is no such object, or no such resource type."""


class ConflictError(RefusedError):
    """Somebody was faster, or another field manager owns a field."""


class GoneError(RefusedError):
    """The version asked for is too old."""


class RejectedError(RefusedError):
    """The request cannot be honoured as it is."""


class OverloadedError(RefusedError):
    """The API server cannot answer now."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the same again later."""

    after: float | None
    """Seconds that the API server asked for."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not try the same again soon."""

    message: str


_BY_CODE: Final[Mapping[int, type[RefusedError]]] = {
    400: RejectedError,
    403: RejectedError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: RejectedError,
    422: RejectedError,
}


def classify(error: BaseException) -> Retry | Reject | None:
    """Say what an exception calls for; None: it is a bug of ours."""
    if isinstance(error, RejectedError):
        return Reject(error.message)
    if isinstance(error, RefusedError):
        return Retry(error.retry_after)
    if isinstance(error, ClusterError):
        return Retry(None)
    return None


def unreachable(
    error: aiohttp.ClientError | asyncio.TimeoutError | OSError | ValueError,
) -> UnreachableError:
    """Return the transport's error, or an answer that is no JSON, as one of ours."""
    return UnreachableError(f"{type(error).__name__}: {error}".rstrip(": "))


def refused(code: int, body: bytes, headers: Mapping[str, str]) -> RefusedError:
    """Return an error answer as an exception: the server's `Status`, else the first of its text."""
    reason, message = "", body[:MAX_MESSAGE].decode(errors="replace").strip()
    retry_after = _seconds(headers.get("Retry-After"))
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict):
        reason = str(status.get("reason") or "")
        message = str(status.get("message") or message)[:MAX_MESSAGE]
    kind = _BY_CODE.get(code, OverloadedError)
    return kind(code=code, reason=reason, message=message, retry_after=retry_after)


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds; a date is not one that the API server sends."""
    return float(text) if text is not None and text.isdecimal() else None

"""How a fetch ends badly: for good (`FetchFailed`) or, for now, worth another try (`Interrupted`).

FetchFailed   the program's result: a reason and a sentence for the user
Interrupted   a fault of the network or the source that a later attempt may not meet
"""

from __future__ import annotations

import errno

from puna_fetch.reasons import FetchReason

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FetchFailed(Exception):  # noqa: N818 - it reads as what happened
    """A fetch that no retry within this run can save."""

    def __init__(self, reason: FetchReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Interrupted(Exception):  # noqa: N818 - it reads as what happened
    """An attempt that broke off; `retry_after` is the wait in seconds that the source asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


def cache_failure(error: OSError, path: object) -> FetchFailed:
    """The failure that an error of the cache volume means."""
    text = error.strerror or str(error)
    if error.errno in _NO_ROOM:
        return FetchFailed(FetchReason.DISK_FULL, f"{path}: {text}: enlarge the model volume")
    return FetchFailed(
        FetchReason.CACHE_UNUSABLE,
        f"{path}: {text}: the model volume must be writable for this user and support locks",
    )


def source_failure(error: OSError, uri: str, path: object) -> FetchFailed:
    """The failure that an error of reading a file or volume in place means."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        text = "no such file"
    else:
        text = f"cannot be read: {error.strerror or error}"
    return FetchFailed(FetchReason.FILE_NOT_FOUND, f"{uri}: {text} ({path} in the Pod)")


def checksum_mismatch(shown: str, found: str) -> FetchFailed:
    """The failure that another digest means."""
    return FetchFailed(
        FetchReason.CHECKSUM_MISMATCH,
        f"{shown}: the file's sha256 is {found}: correct sha256, or name the file it belongs to",
    )

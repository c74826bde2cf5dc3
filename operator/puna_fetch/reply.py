"""What to ask a source for, and what its reply means for the partial file. Pure.

Whatever these rules let through, the digest of the whole file decides in the end; they only save
bytes and time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from puna_fetch.failure import FetchFailed, Interrupted, checksum_mismatch
from puna_fetch.note import Note
from puna_fetch.reasons import FetchReason

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_UNAUTHORIZED = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
}
_LONGEST_HINT = 200


@dataclass(frozen=True, slots=True)
class Complete:
    """Nothing: every byte is there."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The rest of the file from `offset` on, or all of it."""

    offset: int
    note: Note | None

    def headers(self) -> dict[str, str]:
        """The request's headers."""
        if not self.offset:
            return {}
        headers = {"Range": f"bytes={self.offset}-"}
        if self.note and self.note.validator:
            headers["If-Range"] = self.note.validator
        return headers


@dataclass(frozen=True, slots=True)
class Receive:
    """The body holds the file's bytes from `offset` on; 0 means that earlier bytes are void."""

    offset: int
    note: Note


@dataclass(frozen=True, slots=True)
class StartOver:
    """The partial file is of no use for this source."""

    message: str


def plan_request(size: int, note: Note | None) -> Ask | Complete:
    """What to ask for, with `size` bytes in the partial file."""
    if note is None or note.rejected is not None:
        return Ask(0, note)
    if size and size == note.total:
        return Complete()
    if note.total is not None and size > note.total:
        return Ask(0, note)
    return Ask(size, note)


def check_status(
    status: int, headers: Mapping[str, str], *, shown: str, now: datetime, authorized: bool
) -> None:
    """Let a reply through that carries bytes, or says that there are none in the range.

    Raises:
        FetchFailed: the source will say the same next time.
        Interrupted: the source may have recovered by the next attempt.
    """
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise FetchFailed(
                FetchReason.DOWNLOAD_FAILED,
                f"{shown}: the source insists on Content-Encoding {encoding[:20]!r};"
                " serve the file as it is",
            )
        return
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    said = f"{shown}: the source answers {_named(status)}{_hint(headers)}"
    if status in _UNAUTHORIZED:
        advice = "check the credentials" if authorized else "name a Secret with credentials"
        raise FetchFailed(FetchReason.UNAUTHORIZED, f"{said}: {advice}")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise FetchFailed(FetchReason.FILE_NOT_FOUND, said)
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Interrupted(said, retry_after(headers.get("retry-after"), now))
    raise FetchFailed(FetchReason.DOWNLOAD_FAILED, said)


def judge(
    status: int, headers: Mapping[str, str], ask: Ask, *, shown: str, max_bytes: int | None
) -> Receive | StartOver:
    """What a reply that `check_status` let through means for the partial file.

    Raises:
        FetchFailed: the file is too large, or is known to have another digest.
    """
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return StartOver(f"{shown}: the source has no bytes from {ask.offset} on")
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if ask.offset == 0 or found is None or int(found[1]) != ask.offset:
            return StartOver(f"{shown}: the source sent another range than was asked for")
        total = None if found[3] == "*" else int(found[3])
        if ask.note and total != ask.note.total:
            return StartOver(f"{shown}: the file has another size than before")
        offset = ask.offset
    else:
        length = headers.get("content-length", "")
        chunked = "transfer-encoding" in headers
        total = int(length) if not chunked and re.fullmatch(r"\d{1,19}", length) else None
        offset = 0
    note = Note.of(headers, total)
    if max_bytes is not None and (total or 0) > max_bytes:
        raise too_large(shown, total, max_bytes)
    if ask.note and ask.note.rejected and note.is_same(ask.note):
        raise checksum_mismatch(shown, ask.note.rejected)
    return Receive(offset, note)


def check_linked_digest(linked: str | None, sha256: str, *, shown: str) -> None:
    """Refuse a file of which the hub itself says that it has another digest, before its first byte.

    Raises:
        FetchFailed: with reason ChecksumMismatch.
    """
    found = _SHA256.fullmatch(linked or "")
    if found and found[1] != sha256:
        raise checksum_mismatch(shown, found[1])


def too_large(shown: str, size: int | None, max_bytes: int) -> FetchFailed:
    """The failure that a file above the limit means."""
    found = "an unknown number of" if size is None else str(size)
    return FetchFailed(
        FetchReason.DOWNLOAD_FAILED, f"{shown}: {found} bytes are more than the limit {max_bytes}"
    )


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks to wait; None where it says nothing useful."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return max(0.0, (until - now).total_seconds())


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _hint(headers: Mapping[str, str]) -> str:
    # The hub explains itself in a header: a gated model, an unknown revision.
    text = headers.get("x-error-message", "")
    shown = "".join(character for character in text if character.isprintable())[:_LONGEST_HINT]
    return f" ({shown})" if shown else ""

"""Reply: what to ask a web server for, and what its reply means for the partial file. Pure.

Whatever these rules let through, digests decide in the end where there are any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from puna_trainer.storage.faults import BrokenOffError, unusable
from puna_trainer.storage.partial import Note

CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)")
TRANSIENT: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
UNAUTHORIZED: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    }
)
ALREADY_PACKED: Final = (".gz", ".tgz")
"""Endings of files that servers call encoded although they are meant to stay as they are."""
LONGEST_HINT: Final = 200


@dataclass(frozen=True, slots=True)
class Receive:
    """The body holds the file's bytes from `offset` on; 0 means that earlier ones are void."""

    offset: int
    note: Note


def range_headers(size: int, note: Note | None) -> dict[str, str]:
    """Return the headers that ask for what is missing after `size` bytes."""
    headers = {"Accept-Encoding": "identity"}
    if size and note is not None:
        headers["Range"] = f"bytes={size}-"
        if note.validator:
            headers["If-Range"] = note.validator
    return headers


def is_complete(size: int, note: Note | None) -> bool:
    """Tell whether every byte is there."""
    return note is not None and note.total is not None and size == note.total


def check_status(
    status: int, headers: Mapping[str, str], *, shown: str, name: str, now: datetime
) -> None:
    """Let a reply through that carries bytes, or says that there are none in the range.

    Raises:
        TrainingError: BadConfig, the source will say the same next time.
        BrokenOffError: the source may have recovered by the next attempt.
    """
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity"} and not name.lower().endswith(ALREADY_PACKED):
            raise unusable(
                f"{shown}: the server insists on Content-Encoding {encoding[:20]}; "
                "have it serve the file as it is"
            )
        return
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    said = f"{shown}: the server answers {_named(status)}{_hint(headers)}"
    if status in UNAUTHORIZED:
        raise unusable(f"{said}; give credentials that may read it, or correct the address")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise unusable(f"{said}; nothing lies there, correct the address")
    if status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise BrokenOffError(said, retry_after(headers.get("retry-after"), now))
    raise unusable(f"{said}; correct the address")


def judge(
    status: int, headers: Mapping[str, str], *, size: int, note: Note | None, shown: str
) -> Receive:
    """Return what a reply that `check_status` let through means for a partial file of `size` bytes.

    Raises:
        StaleError: the bytes there are belong to another file.
    """
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise StaleError(f"{shown}: the server has no bytes from {size} on")
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if note is None or found is None or not size or int(found[1]) != size:
            raise StaleError(f"{shown}: the server sent another range than was asked for")
        fresh = Note.of(headers, None if found[2] == "*" else int(found[2]))
        if fresh.total != note.total or (fresh.validator or note.validator) != note.validator:
            raise StaleError(f"{shown}: the file has changed")
        return Receive(size, note)
    length = headers.get("content-length", "")
    chunked = "transfer-encoding" in headers
    total = int(length) if not chunked and re.fullmatch(r"\d{1,19}", length) else None
    return Receive(0, Note.of(headers, total))


class StaleError(BrokenOffError):
    """The partial file is of no use for what the source has now."""


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None if it says nothing useful."""
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
    # The hub explains itself in a header: a gated dataset, an unknown revision.
    text = headers.get("x-error-message", "")
    shown = "".join(character for character in text if character.isprintable())[:LONGEST_HINT]
    return f" ({shown})" if shown else ""

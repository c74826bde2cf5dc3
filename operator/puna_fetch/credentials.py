"""The Authorization header that a mounted Secret stands for. Its value appears in no message."""

from __future__ import annotations

import base64
from pathlib import Path

from puna_fetch.failure import FetchFailed
from puna_fetch.reasons import FetchReason


def read_authorization(directory: Path | None) -> str | None:
    """The header's value; None where no folder is named.

    Raises:
        FetchFailed: with reason InvalidRequest, where the folder holds neither form.
    """
    if directory is None:
        return None
    token = _read(directory / "token")
    if token is not None:
        return f"Bearer {token}"
    username, password = _read(directory / "username"), _read(directory / "password")
    if username is not None and password is not None:
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    raise FetchFailed(
        FetchReason.INVALID_REQUEST,
        "the credentials Secret needs the key token, or the keys username and password",
    )


def _read(path: Path) -> str | None:
    try:
        value = path.read_text().rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FetchFailed(
            FetchReason.INVALID_REQUEST, f"the credentials' key {path.name} cannot be read as text"
        ) from error
    if not value or not value.isprintable() or not value.isascii():
        raise FetchFailed(
            FetchReason.INVALID_REQUEST,
            f"the credentials' key {path.name} is empty or holds unprintable characters",
        )
    return value

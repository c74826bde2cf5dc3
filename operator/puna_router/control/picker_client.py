"""The picker's account of itself, over its UNIX socket."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Final

from puna_router.control.unix_http import UnreachableError, request
from puna_router.picker.members import DocumentError
from puna_router.picker.state import PickerState

TIMEOUT: Final = 1.0
"""Longest answer, in seconds: a picker that hangs should not hold up who asks for more."""


async def picker_state(socket: Path) -> PickerState | None:
    """What the picker says of itself; None if it is away, or says nothing that can be read."""
    try:
        status, body = await request(socket, "GET", "/state", TIMEOUT)
        return PickerState.from_json(body) if status == HTTPStatus.OK else None
    except (UnreachableError, DocumentError):
        return None

"""HTTP pages of the picker, for probes and for control: requests as bytes, answers as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

REQUEST_LIMIT: Final = 8192
"""Largest request, in bytes."""
END: Final = b"\r\n\r\n"

_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class Page(NamedTuple):
    """One answer."""

    status: int
    body: str


def live(problem: str | None) -> Page:
    """Whether the picker gets on."""
    if problem is None:
        return Page(200, json.dumps({"status": "ok"}))
    return Page(503, json.dumps({"status": "stuck", "message": problem}))


def answer(request: bytes, pages: Mapping[str, Callable[[], Page]]) -> bytes | None:
    """The answer to a request, after which the connection ends; None while it is not whole."""
    if END not in request:
        return None if len(request) < REQUEST_LIMIT else _written(_problem(400))
    words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004 - method, path, version
        return _written(_problem(400))
    page = pages.get(words[1].partition("?")[0])
    if page is None:
        return _written(_problem(404))
    if words[0] != "GET":
        return _written(_problem(405))
    return _written(page())


def _problem(status: int) -> Page:
    return Page(status, json.dumps({"status": _PHRASES[status]}))


def _written(page: Page) -> bytes:
    body = page.body.encode()
    head = (
        f"HTTP/1.1 {page.status} {_PHRASES[page.status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body

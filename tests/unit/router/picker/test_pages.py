from __future__ import annotations

import json

import pytest

from puna_router.picker.pages import REQUEST_LIMIT, Page, answer, live

PAGES = {"/live": lambda: live(None)}


def status_of(request: bytes) -> bytes:
    found = answer(request, PAGES)
    assert found is not None
    return found.split(b" ")[1]


def test_a_page_is_served_to_whoever_asks_whole() -> None:
    request = b"GET /live?x=1 HTTP/1.1\r\nhost: x\r\n\r\n"
    assert answer(request[:-1], PAGES) is None
    found = answer(request, PAGES)
    assert found is not None
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % len(body) in head
    assert json.loads(body) == {"status": "ok"}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /other HTTP/1.1", b"404"),
        (b"POST /live HTTP/1.1", b"405"),
        (b"hello", b"400"),
        (b"GET /live", b"400"),
        (b"\xff \xff \xff", b"400"),
    ],
)
def test_what_is_no_page_is_refused(request_line: bytes, status: bytes) -> None:
    assert status_of(request_line + b"\r\n\r\n") == status


def test_a_request_that_does_not_end_is_refused() -> None:
    assert status_of(b"x" * REQUEST_LIMIT) == b"400"


def test_a_picker_that_does_not_get_on_is_not_live() -> None:
    assert live("stuck") == Page(503, '{"status": "stuck", "message": "stuck"}')

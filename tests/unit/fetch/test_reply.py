from __future__ import annotations

from datetime import UTC, datetime

import pytest

from puna_fetch.failure import FetchFailed
from puna_fetch.note import Note
from puna_fetch.reply import (
    Ask,
    Complete,
    Receive,
    StartOver,
    check_linked_digest,
    judge,
    plan_request,
    retry_after,
)

NOTE = Note('"a"', "Mon, 01 Jan 2024 00:00:00 GMT", 1000)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "note", "expected"),
    [
        (0, None, Ask(0, None)),
        (500, None, Ask(0, None)),
        (0, NOTE, Ask(0, NOTE)),
        (500, NOTE, Ask(500, NOTE)),
        (1000, NOTE, Complete()),
        (1001, NOTE, Ask(0, NOTE)),
        (500, Note(None, None, None), Ask(500, Note(None, None, None))),
        (500, Note('"a"', None, 1000, "f" * 64), Ask(0, Note('"a"', None, 1000, "f" * 64))),
    ],
)
def test_what_is_asked_for_follows_from_what_there_is(
    size: int, note: Note | None, expected: Ask | Complete
) -> None:
    assert plan_request(size, note) == expected


def test_a_range_is_bound_to_the_version_it_began_with() -> None:
    assert Ask(0, NOTE).headers() == {}
    assert Ask(5, NOTE).headers() == {"Range": "bytes=5-", "If-Range": '"a"'}
    weak = Note('W/"a"', NOTE.last_modified, 1000)
    assert Ask(5, weak).headers()["If-Range"] == NOTE.last_modified
    assert Ask(5, Note(None, None, 9)).headers() == {"Range": "bytes=5-"}


def judged(status: int, headers: dict[str, str], ask: Ask) -> Receive | StartOver:
    return judge(status, headers, ask, shown="here", max_bytes=None)


def test_the_rest_is_appended_where_it_fits() -> None:
    headers = {"content-range": "bytes 500-999/1000", "etag": '"a"'}
    assert judged(206, headers, Ask(500, NOTE)) == Receive(500, Note('"a"', None, 1000))


def test_a_whole_file_voids_what_there_was() -> None:
    expected = Receive(0, Note('"b"', None, 2000))
    assert judged(200, {"content-length": "2000", "etag": '"b"'}, Ask(500, NOTE)) == expected


@pytest.mark.parametrize(
    ("status", "content_range"),
    [
        (206, "bytes 400-999/1000"),
        (206, "bytes 500-999/2000"),
        (206, "bytes 500-999/*"),
        (206, "bytes=500"),
        (206, ""),
        (416, "bytes */400"),
    ],
)
def test_a_rest_that_does_not_fit_voids_what_there_was(status: int, content_range: str) -> None:
    assert isinstance(judged(status, {"content-range": content_range}, Ask(500, NOTE)), StartOver)


def test_a_range_that_nobody_asked_for_is_refused() -> None:
    headers = {"content-range": "bytes 0-9/10"}
    assert isinstance(judged(206, headers, Ask(0, None)), StartOver)


@pytest.mark.parametrize("length", ["", "-1", "ten", "9" * 30])
def test_a_length_that_is_none_is_unknown(length: str) -> None:
    assert judged(200, {"content-length": length}, Ask(0, None)) == Receive(
        0, Note(None, None, None)
    )


def test_a_version_that_was_rejected_fails_at_once_and_another_does_not() -> None:
    ask = Ask(0, Note('"a"', None, 1000, "f" * 64))
    with pytest.raises(FetchFailed, match="f" * 64):
        judged(200, {"etag": '"a"', "content-length": "1000"}, ask)
    assert isinstance(judged(200, {"etag": '"b"', "content-length": "1000"}, ask), Receive)
    assert isinstance(judged(200, {"content-length": "1000"}, ask), Receive)


def test_the_hubs_digest_counts_only_where_it_is_one() -> None:
    for linked in (None, '"abc"', '"' + "a" * 64 + '"'):
        check_linked_digest(linked, "a" * 64, shown="here")
    with pytest.raises(FetchFailed):
        check_linked_digest('"' + "b" * 64 + '"', "a" * 64, shown="here")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Mon, 01 Jan 2024 00:00:30 GMT", 30.0),
        ("Mon, 01 Jan 2001 00:00:30 GMT", 0.0),
    ],
)
def test_a_wait_is_given_in_seconds_or_as_a_date(value: str | None, expected: float | None) -> None:
    assert retry_after(value, NOW) == expected


def test_a_note_survives_its_file() -> None:
    assert Note.from_json(NOTE.to_json()) == NOTE
    for text in ("", "null", "{}", '{"etag": 1}', '{"etag": null, "unknown": 1}'):
        assert Note.from_json(text) is None

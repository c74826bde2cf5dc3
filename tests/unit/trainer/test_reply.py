from __future__ import annotations

from datetime import UTC, datetime

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.storage.faults import BrokenOffError
from puna_trainer.storage.partial import Note
from puna_trainer.storage.reply import (
    Receive,
    StaleError,
    check_status,
    is_complete,
    judge,
    range_headers,
    retry_after,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTE = Note('"one"', 100)


def ranged(content_range: str, etag: str = '"one"') -> dict[str, str]:
    return {"content-range": content_range, "etag": etag}


def test_the_rest_is_asked_for_only_where_it_is_known_of_what() -> None:
    assert range_headers(40, NOTE)["Range"] == "bytes=40-"
    assert range_headers(40, NOTE)["If-Range"] == '"one"'
    assert "Range" not in range_headers(40, None)
    assert "Range" not in range_headers(0, NOTE)
    assert is_complete(100, NOTE)
    assert not is_complete(100, Note(None, None))


def test_a_reply_with_the_rest_goes_on() -> None:
    verdict = judge(206, ranged("bytes 40-99/100"), size=40, note=NOTE, shown="x")
    assert verdict == Receive(40, NOTE)


def test_a_reply_with_everything_starts_anew() -> None:
    headers = {"content-length": "7", "etag": 'W/"weak"', "last-modified": "then"}
    assert judge(200, headers, size=40, note=NOTE, shown="x") == Receive(0, Note("then", 7))
    headers["transfer-encoding"] = "chunked"
    assert judge(200, headers, size=0, note=None, shown="x").note.total is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, ranged("bytes 39-99/100")),
        (206, ranged("bytes 40-98/99")),
        (206, ranged("bytes 40-99/100", '"two"')),
        (206, ranged("items 40-99/100")),
        (416, {}),
    ],
)
def test_a_reply_about_another_file_drops_what_there_is(
    status: int, headers: dict[str, str]
) -> None:
    with pytest.raises(StaleError):
        judge(status, headers, size=40, note=NOTE, shown="x")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_trouble_may_be_over_soon(status: int) -> None:
    with pytest.raises(BrokenOffError):
        check_status(status, {}, shown="x", name="x", now=NOW)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 410, 451])
def test_a_refusal_stays(status: int) -> None:
    with pytest.raises(TrainingError, match=f"x: the server answers {status}"):
        check_status(status, {}, shown="x", name="x", now=NOW)


def test_encoded_bytes_are_taken_only_where_they_are_the_file() -> None:
    headers = {"content-encoding": "gzip"}
    check_status(200, headers, shown="x", name="x.tar.gz", now=NOW)
    with pytest.raises(TrainingError, match="gzip"):
        check_status(200, headers, shown="x", name="x.csv", now=NOW)


def test_what_the_hub_explains_is_passed_on_without_what_does_not_print() -> None:
    with pytest.raises(TrainingError, match="gated dataset"):
        check_status(403, {"x-error-message": "gated\n dataset"}, shown="x", name="x", now=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("Thu, 01 Jan 2026 00:01:00 GMT", 60), ("soon", None), (None, None), ("-1", None)],
)
def test_a_time_to_wait_is_read(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds

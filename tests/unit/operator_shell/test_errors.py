"""What goes wrong between the operator and the API server, sorted in one place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.cluster import errors
from puna.cluster.errors import (
    ClusterError,
    ConflictError,
    GoneError,
    NotFoundError,
    OverloadedError,
    RefusedError,
    Reject,
    RejectedError,
    Retry,
    UnreachableError,
    classify,
    refused,
    unreachable,
)
from puna.core.backoff import LONGEST_SECONDS, retry_delay


def status(reason: str, message: str) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RejectedError),
        (401, OverloadedError),
        (403, RejectedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (413, RejectedError),
        (422, RejectedError),
        (429, OverloadedError),
        (500, OverloadedError),
        (503, OverloadedError),
        (504, OverloadedError),
    ],
)
def test_every_answer_becomes_one_kind_of_error(code: int, kind: type[RefusedError]) -> None:
    error = refused(code, status("Why", "in words"), {"Retry-After": "3"})
    assert type(error) is kind
    assert (error.code, error.reason, error.message) == (code, "Why", "in words")
    assert error.retry_after == 3.0


def test_an_answer_that_is_no_status_keeps_its_text() -> None:
    assert refused(502, b"<html>Bad gateway</html>", {}).message == "<html>Bad gateway</html>"
    assert refused(502, b"\xff\xfe", {}).message
    assert refused(500, b"[1]", {"Retry-After": "Fri, 01 Jan"}).retry_after is None


def test_what_cannot_be_honoured_is_rejected_with_the_servers_words() -> None:
    assert classify(refused(422, status("Invalid", "no"), {})) == Reject("no")
    assert classify(refused(403, status("Forbidden", "no"), {})) == Reject("no")


def test_what_may_go_better_later_is_retried() -> None:
    assert classify(refused(429, b"", {"Retry-After": "7"})) == Retry(7.0)
    assert classify(refused(409, b"", {})) == Retry(None)
    assert classify(unreachable(TimeoutError())) == Retry(None)


def test_anything_else_is_a_bug() -> None:
    assert classify(KeyError("spec")) is None


def test_every_error_of_the_tree_is_sorted() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ClusterError)
    ]
    for kind in kinds:
        error = (
            kind(code=500, reason="", message="") if issubclass(kind, RefusedError) else kind("x")
        )
        assert classify(error) is not None
    assert UnreachableError in kinds


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_bound_and_are_spread(failures: int, jitter: float) -> None:
    delay = retry_delay(failures, None, jitter)
    assert 0 < delay <= LONGEST_SECONDS
    assert delay <= retry_delay(failures + 2, None, jitter)


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.floats(0, 600))
def test_the_server_is_never_asked_before_it_said(
    failures: int, jitter: float, asked: float
) -> None:
    assert retry_delay(failures, asked, jitter) >= asked

from __future__ import annotations

import pytest

from puna.api.llmendpoint_status import FetchStatus
from puna.endpoint.progress import describe, fetch_status
from puna_fetch.config import FetchStage, Progress

GIBIBYTE = 1024**3


def progress(done: int, total: int | None = None) -> Progress:
    return Progress(stage=FetchStage.DOWNLOADING, completed_bytes=done, total_bytes=total)


def test_the_pod_with_the_most_left_speaks_for_all() -> None:
    found = fetch_status({"a": progress(9, 10), "b": progress(1, 10), "c": progress(5, 10)})
    assert found is not None
    assert found.pod == "b"


def test_a_pod_that_does_not_know_how_much_is_left_has_the_most() -> None:
    found = fetch_status({"a": progress(0, 10**12), "b": progress(5)})
    assert found is not None
    assert found.pod == "b"


def test_no_progress_is_no_status() -> None:
    assert fetch_status({}) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            FetchStatus(
                stage="Downloading",
                completed_bytes=3 * GIBIBYTE,
                total_bytes=8 * GIBIBYTE,
                bytes_per_second=52 * 1024**2,
                pod="a",
            ),
            "Downloading: 3.0 of 8.0 GiB (37 %), 52 MiB/s",
        ),
        (
            FetchStatus(
                stage="Downloading",
                completed_bytes=GIBIBYTE,
                message="the source broke off",
                pod="a",
            ),
            "Downloading: 1.0 GiB; the source broke off",
        ),
        (
            FetchStatus(stage="Verifying", completed_bytes=0, total_bytes=GIBIBYTE, pod="a"),
            "Verifying: 0.0 of 1.0 GiB (0 %)",
        ),
        (
            FetchStatus(stage="Waiting", pod="a"),
            "Pod a waits for another Pod that fetches the same file",
        ),
    ],
)
def test_progress_is_one_sentence(status: FetchStatus, expected: str) -> None:
    assert describe(status) == expected

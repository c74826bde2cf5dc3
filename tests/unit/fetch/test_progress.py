from __future__ import annotations

from puna_fetch.config import Failure, FetchReason, FetchStage, Progress
from puna_fetch.failure import FetchFailed
from puna_fetch.progress import Reporter
from puna_fetch.termination import failure_document


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_state_is_written_at_once_then_one_a_second_and_the_last() -> None:
    clock, lines = Clock(), list[str]()
    reporter = Reporter(lines.append, clock)
    for tenth in range(25):
        clock.now = tenth / 10
        reporter.report(FetchStage.DOWNLOADING, tenth * 100, 5000)
    reporter.finish()
    reporter.finish()
    written = [Progress.model_validate_json(line) for line in lines]
    assert [line.completed_bytes for line in written] == [0, 1000, 2000, 2400]
    assert [line.bytes_per_second for line in written] == [None, 1000, 1000, 1000]
    assert {line.total_bytes for line in written} == {5000}


def test_a_download_that_starts_over_has_no_negative_speed() -> None:
    clock, lines = Clock(), list[str]()
    reporter = Reporter(lines.append, clock)
    for second, completed in enumerate((1000, 2000, 0, 500)):
        clock.now = float(second)
        reporter.report(FetchStage.DOWNLOADING, completed, None)
    speeds = [Progress.model_validate_json(line).bytes_per_second for line in lines]
    assert speeds == [None, 1000, None, 500]


def test_the_holder_of_a_lock_hears_of_every_line() -> None:
    clock, heard = Clock(), list[float]()
    reporter = Reporter(lambda _line: None, clock)
    with reporter.telling(lambda: heard.append(clock.now)):
        for second in (1, 2):
            clock.now = float(second)
            reporter.report(FetchStage.VERIFYING, second, None)
    clock.now = 3.0
    reporter.report(FetchStage.VERIFYING, 3, None)
    assert heard == [1, 2]


def test_a_failure_fits_into_a_termination_log_whatever_it_says() -> None:
    document = failure_document(FetchFailed(FetchReason.DOWNLOAD_FAILED, "ü\n" * 5000))
    assert len(document.encode()) <= 1800
    assert "\n" not in document
    assert Failure.model_validate_json(document).reason == FetchReason.DOWNLOAD_FAILED

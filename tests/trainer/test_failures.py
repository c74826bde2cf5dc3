"""Every exception that a user can meet has a reason, an exit code and a way out."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from puna_trainer.errors import TrainingError
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.failures import failure_of


def reason_of(error: Exception) -> FailureReason | None:
    failure = failure_of(error)
    return failure.reason if failure else None


def test_too_little_memory_of_a_processor_is_told_from_a_bug() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert reason_of(caught.value) is FailureReason.OUT_OF_MEMORY
    failure = failure_of(caught.value)
    assert failure is not None
    assert "hyperparameters.batchSize" in failure.message


def test_too_little_memory_of_a_gpu_or_of_python_has_the_same_reason() -> None:
    assert reason_of(torch.OutOfMemoryError("CUDA out of memory")) is FailureReason.OUT_OF_MEMORY
    assert reason_of(MemoryError()) is FailureReason.OUT_OF_MEMORY


def test_a_full_volume_is_told_wherever_it_shows() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        error = OSError(number, os.strerror(number), "/output/logs/log.jsonl")
        assert reason_of(error) is FailureReason.DISK_FULL


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EROFS]
)
def test_a_volume_that_fails_may_work_again_by_the_next_attempt(number: int) -> None:
    error = OSError(number, os.strerror(number), "/output/logs/log.jsonl")
    failure = failure_of(error)
    assert failure is not None
    assert failure.reason is FailureReason.OUTPUT_UNUSABLE
    assert EXIT_OF[failure.reason] is Exit.TEMPORARY
    assert f"/output/logs/log.jsonl: {os.strerror(number)}" in failure.message


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES])
def test_a_file_that_is_not_there_or_not_open_is_no_fault_of_the_volume(number: int) -> None:
    assert failure_of(OSError(number, os.strerror(number), "/texts/a.txt")) is None


def test_a_failure_stays_what_it_is_and_a_bug_has_no_reason() -> None:
    known = TrainingError(FailureReason.DATA_CORRUPT, "a line is no JSON")
    assert failure_of(known) is known
    assert failure_of(KeyError("x")) is None
    assert failure_of(RuntimeError("shapes do not match")) is None


def test_every_reason_has_an_exit_code() -> None:
    assert EXIT_OF.keys() == set(FailureReason)
    assert Exit.DONE not in EXIT_OF.values()

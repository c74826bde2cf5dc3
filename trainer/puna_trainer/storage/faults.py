"""Faults: what an error of a source or of the volume means for a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.files import readable


class BrokenOffError(Exception):
    """The source failed in a way that may be over by the next attempt."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds that the source itself asks to wait."""


def corrupt(message: str) -> TrainingError:
    """Return the failure that data in another form than promised mean."""
    return TrainingError(FailureReason.DATA_CORRUPT, readable(message))


def unusable(message: str) -> TrainingError:
    """Return the failure that a field which nothing can be done with means."""
    return TrainingError(FailureReason.BAD_CONFIG, message)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say what an error of the volume means while something is written to the folder.

    Raises:
        TrainingError: DiskFull or OutputUnusable.
    """
    try:
        yield
    except OSError as error:
        raise output_failure(error, error.filename or folder) from error


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse what would not fit, before its first byte.

    Raises:
        TrainingError: DiskFull.
    """
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    if needed > free:
        raise TrainingError(
            FailureReason.DISK_FULL,
            f"{folder}: {what} takes {needed} bytes more, and {free} are free: enlarge the output "
            "volume",
        )

"""How a run ends before its end: for a reason that the user can do something about, or by a signal.

TrainingError   a failure with a reason and one sentence: what was found, which field, the way out
Interrupted     SIGTERM came; what there is was saved
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from puna_trainer.exits import FailureReason

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a volume that is full, or as full as this user may make it."""
FAULTY: Final = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EIO,
        errno.ENODEV,
        errno.ENOTCONN,
        errno.ENXIO,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""Error numbers of a volume that fails, or whose server does; the system lets one that fails be
read alone."""


class TrainingError(Exception):
    """A failure that ends the run."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Interrupted(BaseException):
    """The run was asked to end, and everything is saved.

    It comes anywhere: whoever takes each `Exception` for a fault of what it was doing lets it pass.
    """


def output_failure(error: OSError, path: Path | str) -> TrainingError:
    """Return the failure that an error of the output folder means."""
    text = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return TrainingError(
            FailureReason.DISK_FULL,
            f"{path}: {text}: enlarge the output volume, or keep fewer checkpoints "
            "(checkpoint.keep)",
        )
    if error.errno in FAULTY:
        return TrainingError(
            FailureReason.OUTPUT_UNUSABLE,
            f"{path}: {text}: the volume fails, or may only be read; another attempt goes on from "
            "the newest checkpoint",
        )
    return TrainingError(
        FailureReason.OUTPUT_UNUSABLE,
        f"{path}: {text}: outputDirectory must be a folder that this user may write to",
    )

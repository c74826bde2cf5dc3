"""Exit codes and failure reasons: what whoever started the trainer may rely on.

Standard library only. The operator turns them into a Job's failure policy and conditions.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class Exit(IntEnum):
    """Exit codes of the trainer."""

    DONE = 0
    """Every stage is done."""
    BUG = 1
    """An exception that nobody foresaw: another attempt would end in the same."""
    USAGE = 2
    """The command line is wrong."""
    REFUSED = 42
    """Configuration, data or numbers are wrong: another attempt would end in the same."""
    TEMPORARY = 75
    """Something around the trainer failed, and may work again (EX_TEMPFAIL of sysexits.h)."""
    RANK_LOST = 76
    """Another process of the run ended, on another machine; its own end counts, and not this."""
    INTERRUPTED = 143
    """SIGTERM came, and everything is saved (128 + 15)."""


class FailureReason(StrEnum):
    """Why a run failed."""

    BAD_CONFIG = "BadConfig"
    """The configuration cannot be carried out; the message names the field."""
    DATA_CORRUPT = "DataCorrupt"
    """The dataset is not what its format or its digest says."""
    DATA_UNAVAILABLE = "DataUnavailable"
    """The dataset cannot be reached, after all retries."""
    NON_FINITE_LOSS = "NonFiniteLoss"
    """Loss or gradients became infinite or not a number; the last good checkpoint is kept."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The device or the host has too little memory; the message names what to make smaller."""
    DISK_FULL = "DiskFull"
    """The output volume has too little room; the last good checkpoint is kept."""
    OUTPUT_UNUSABLE = "OutputUnusable"
    """The output folder cannot be written, or another run holds it."""
    PARITY_FAILED = "ParityFailed"
    """An exported file does not behave like the model that was trained; it is not registered."""
    EVALUATION_REGRESSED = "EvaluationRegressed"
    """The evaluation is worse than its baseline allows."""
    UPLOAD_FAILED = "UploadFailed"
    """The artifacts cannot be uploaded, after all retries; they lie in the output folder."""
    RANK_LOST = "RankLost"
    """Another process of a distributed run ended."""
    RANK_MISSING = "RankMissing"
    """The processes of a distributed run did not find each other in time."""
    BUG = "Bug"
    """An exception that nobody foresaw; the log holds its traceback."""


EXIT_OF: Final[dict[FailureReason, Exit]] = {
    FailureReason.BAD_CONFIG: Exit.REFUSED,
    FailureReason.DATA_CORRUPT: Exit.REFUSED,
    FailureReason.DATA_UNAVAILABLE: Exit.TEMPORARY,
    FailureReason.NON_FINITE_LOSS: Exit.REFUSED,
    FailureReason.OUT_OF_MEMORY: Exit.REFUSED,
    FailureReason.DISK_FULL: Exit.TEMPORARY,
    FailureReason.OUTPUT_UNUSABLE: Exit.TEMPORARY,
    FailureReason.PARITY_FAILED: Exit.REFUSED,
    FailureReason.EVALUATION_REGRESSED: Exit.REFUSED,
    FailureReason.UPLOAD_FAILED: Exit.TEMPORARY,
    FailureReason.RANK_LOST: Exit.RANK_LOST,
    FailureReason.RANK_MISSING: Exit.TEMPORARY,
    FailureReason.BUG: Exit.BUG,
}
"""Exit code of every reason."""

"""A file that is used where it lies: checked, never copied."""

from __future__ import annotations

import time
from collections.abc import Callable

from puna_fetch.digest import digest_of
from puna_fetch.failure import FetchFailed, cache_failure, checksum_mismatch, source_failure
from puna_fetch.identity import Identity
from puna_fetch.lock import hold
from puna_fetch.model_file import check_model
from puna_fetch.progress import Reporter
from puna_fetch.reasons import FetchReason, FetchStage
from puna_fetch.record import Record, is_vouched_for, source_record_path, write_record
from puna_fetch.request import Request


def verify_in_place(request: Request, reporter: Reporter, log: Callable[[str], None]) -> None:
    """Check the file at the request's destination.

    Raises:
        FetchFailed: it is missing, unreadable, no model, or another one than asked for.
    """
    identity = _identity(request)
    if request.sha256 is None or request.record_directory is None:
        _check(request, reporter)
        return
    path = source_record_path(request.record_directory, request.sha256, identity.inode)
    if is_vouched_for(path, request.destination, request.sha256):
        reporter.report(FetchStage.VERIFYING, identity.size, identity.size)
        return
    try:
        request.record_directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_failure(error, request.record_directory) from error

    def waiting() -> None:
        reporter.report(FetchStage.WAITING, 0, identity.size)

    lock_path = path.with_name(path.name + ".lock")
    with (
        hold(lock_path, patience=request.limits.wait, on_wait=waiting) as lock,
        reporter.telling(lock.touch),
    ):
        if is_vouched_for(path, request.destination, request.sha256):
            reporter.report(FetchStage.VERIFYING, identity.size, identity.size)
            return
        started = time.time_ns()
        checked = _check(request, reporter)
        if checked is not None and checked.is_settled(started):
            try:
                write_record(path, Record(request.sha256, checked))
            except OSError as error:
                # The file is good all the same; it is hashed again next time.
                log(f"no record was written: {error}")


def _identity(request: Request) -> Identity:
    path = request.destination
    try:
        facts = path.stat()
    except OSError as error:
        raise source_failure(error, request.uri, path) from error
    if not path.is_file():
        raise FetchFailed(
            FetchReason.FILE_NOT_FOUND, f"{request.uri}: no regular file ({path} in the Pod)"
        )
    return Identity.of(facts)


def _check(request: Request, reporter: Reporter) -> Identity | None:
    """Check digest and format; the file's identity, or None where it changed meanwhile."""
    path = request.destination

    def verifying(completed: int, total: int) -> None:
        reporter.report(FetchStage.VERIFYING, completed, total)

    try:
        if request.sha256 is None:
            check_model(path, request.uri, is_alone=False)
            return None
        digest = digest_of(path, verifying)
        if digest.sha256 != request.sha256:
            raise checksum_mismatch(request.uri, digest.sha256)
        check_model(path, request.uri, is_alone=False)
    except OSError as error:
        raise source_failure(error, request.uri, path) from error
    return digest.after if digest.before == digest.after else None

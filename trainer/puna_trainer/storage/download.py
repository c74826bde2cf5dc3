"""Download: one file over HTTP into a partial file, asked for until all of it is there."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.storage.faults import (
    BrokenOffError,
    check_room,
    unusable,
    writing,
)
from puna_trainer.storage.partial import Partial
from puna_trainer.storage.reply import (
    Receive,
    StaleError,
    check_status,
    is_complete,
    judge,
    range_headers,
)
from puna_trainer.storage.retry import Failures, Limits, wait_before_retry
from puna_trainer.storage.source import Ask, RemoteFile

PIECE: Final = 64 * 1024
"""Bytes that have to come within `Limits.stall`: a source that trickles is cut off, too."""
Report = Callable[[str], None]
"""Is told what takes time; what it raises ends the download, and the bytes there are stay."""
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Download:
    """One file on its way into a partial file."""

    file: RemoteFile
    ask: Callable[[RemoteFile], Ask]
    partial: Partial
    allowance: int | None
    """Bytes that are left of `maxBytes`; None if there is no bound."""
    limits: Limits
    report: Report

    def run(self) -> None:
        """Complete the partial file.

        Raises:
            TrainingError: the source or the volume fails for good.
        """
        persist(self._attempt, self.partial.size, self.limits, self.report)

    def _attempt(self) -> None:
        ask = self.ask(self.file)
        try:
            asyncio.run(self._receive(ask))
        except StaleError:
            self.partial.discard()
            raise
        except aiohttp.ConnectionTimeoutError as error:
            raise BrokenOffError(
                f"{self.file.shown}: no connection within {self.limits.connect:g} s"
            ) from error
        except TimeoutError as error:
            raise BrokenOffError(
                f"{self.file.shown}: too little came within {self.limits.stall:g} s"
            ) from error
        except (aiohttp.InvalidURL, aiohttp.TooManyRedirects) as error:
            raise unusable(
                f"{self.file.shown}: the address, or what it leads to, cannot be followed"
            ) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            raise unusable(
                f"{self.file.shown}: TLS fails ({error}); SSL_CERT_FILE names a file of "
                "certificates to trust"
            ) from error
        except aiohttp.ClientError as error:
            raise BrokenOffError(f"{self.file.shown}: {_sentence(error)}") from error

    async def _receive(self, ask: Ask) -> None:
        size, note = self.partial.size(), self.partial.note()
        if is_complete(size, note):
            return
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self.limits.connect, sock_read=self.limits.stall
        )
        headers = {**ask.headers, **range_headers(size, note)}
        async with (
            aiohttp.ClientSession(
                timeout=timeout, trust_env=True, auto_decompress=False
            ) as session,
            # As it was signed: quoted anew, it would be another address.
            session.get(URL(ask.url, encoded=True), headers=headers) as response,
        ):
            replied = {name.lower(): value for name, value in response.headers.items()}
            status, shown = response.status, self.file.shown
            check_status(status, replied, shown=shown, name=self.file.path, now=datetime.now(UTC))
            verdict = judge(status, replied, size=size, note=note, shown=shown)
            completed = await self._store(response.content, verdict)
        total = verdict.note.total
        if total is not None and completed < total:
            raise BrokenOffError(f"{shown}: it broke off after {completed} of {total} bytes")

    async def _store(self, content: aiohttp.StreamReader, verdict: Receive) -> int:
        completed, total = verdict.offset, verdict.note.total
        self._check_size(total or 0)
        folder = self.partial.path.parent
        check_room(folder, (total or 0) - completed, self.file.shown)
        if completed == 0:
            with writing(folder):
                self.partial.begin(verdict.note)
        with self.partial.append() as stream:
            while piece := await self._piece(content):
                completed += len(piece)
                self._check_size(completed)
                try:
                    stream.write(piece)
                    stream.flush()
                except OSError as error:
                    raise output_failure(error, folder) from error
                self.report(f"fetching {self.file.shown}: {megabytes(completed, total)}")
        return completed

    async def _piece(self, content: aiohttp.StreamReader) -> bytes:
        piece = b""
        async with asyncio.timeout(self.limits.stall):
            while len(piece) < PIECE and (more := await content.read(PIECE - len(piece))):
                piece += more
        return piece

    def _check_size(self, size: int) -> None:
        if self.allowance is not None and size > self.allowance:
            raise unusable(
                f"{self.file.shown}: {size} bytes or more are above what dataset.maxBytes leaves, "
                f"{self.allowance}; raise it, or correct the address"
            )


def persist(
    attempt: Callable[[], ResultT], completed: Callable[[], int], limits: Limits, report: Report
) -> ResultT:
    """Return what an attempt brings, made again as long as that is worth it.

    `completed` tells how many bytes there are, by which an attempt that moved on is known.

    Raises:
        TrainingError: DataUnavailable, after all retries; or what the attempt raises.
    """
    failures = Failures(completed=completed())
    while True:
        try:
            return attempt()
        except BrokenOffError as failure:
            failures = failures.after(completed())
            wait = wait_before_retry(
                limits,
                failures,
                retry_after=failure.retry_after,
                jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            )
            if wait is None:
                raise TrainingError(
                    FailureReason.DATA_UNAVAILABLE,
                    f"{failure.message} (given up after {failures.total} attempts)",
                ) from failure
            _wait(wait, f"{failure.message}; asking again in", report)


def megabytes(completed: int, total: int | None) -> str:
    """Return how much there is, of how much."""
    known = f" of {total / 1e6:.1f}" if total is not None else ""
    return f"{completed / 1e6:.1f}{known} MB"


def _wait(seconds: float, what: str, report: Report) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        report(f"{what} {left:.0f} s")
        time.sleep(min(left, 1.0))


def _sentence(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port} ({error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection broke off"
    return str(error) or type(error).__name__

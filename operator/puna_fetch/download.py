"""A download into a partial file: attempts, retries, and what each reply does to the file."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from puna_fetch.client import Client, Reply
from puna_fetch.failure import FetchFailed, Interrupted, cache_failure
from puna_fetch.gguf_header import MINIMUM, InvalidGgufError, check_beginning
from puna_fetch.partial import Partial
from puna_fetch.progress import Reporter
from puna_fetch.reasons import FetchReason, FetchStage
from puna_fetch.reply import (
    Complete,
    Receive,
    StartOver,
    check_linked_digest,
    check_status,
    judge,
    plan_request,
    too_large,
)
from puna_fetch.retry import Failures, RetryPolicy, wait_before_retry
from puna_fetch.url import Url

_WORTHWHILE = 1024 * 1024
"""Bytes that make an attempt more than a failure."""


@dataclass(frozen=True)
class Download:
    """One file from one address."""

    uri: str
    url: Url
    sha256: str
    max_bytes: int | None
    client: Client
    partial: Partial
    reporter: Reporter
    log: Callable[[str], None]

    def run(self) -> bool:
        """Complete the partial file, asking again as long as that is worth it.

        Returns:
            Whether one reply of known length brought all of it. What was put together from several
            may mix two files, or hold bytes that a crash of the node lost.

        Raises:
            FetchFailed: the source or the cache fails for good.
        """
        policy = RetryPolicy(budget=self.client.limits.retry)
        failures, trouble = Failures(), None
        while True:
            try:
                return self._attempt(trouble)
            except Interrupted as interruption:
                now, completed = time.monotonic(), self.partial.size()
                failures = failures.after(now=now, completed=completed, worthwhile=_WORTHWHILE)
                wait = wait_before_retry(
                    policy,
                    failures,
                    now=now,
                    retry_after=interruption.retry_after,
                    jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
                )
                if wait is None:
                    raise _given_up(interruption, failures) from interruption
                trouble = interruption.message
                self.log(f"{trouble}; asking again in {wait:.1f} s")
                time.sleep(min(wait, 1.0))
                self._report_start(completed, trouble)
                time.sleep(max(wait - 1.0, 0.0))
            except OSError as error:
                raise self._cache_failure(error) from error

    def _report_start(self, completed: int, trouble: str | None) -> None:
        note = self.partial.note()
        total = note.total if note else None
        self.reporter.report(FetchStage.DOWNLOADING, completed, total, trouble)

    def _attempt(self, trouble: str | None) -> bool:
        ask = plan_request(self.partial.size(), self.partial.note())
        if isinstance(ask, Complete):
            return False
        self._report_start(ask.offset, trouble)
        with self.client.get(self.url, ask.headers()) as reply:
            check_status(
                reply.status,
                reply.headers,
                shown=str(reply.url),
                now=datetime.now(UTC),
                authorized=self.client.authorization is not None,
            )
            if self.uri.startswith("hf://"):
                check_linked_digest(reply.linked_digest, self.sha256, shown=self.uri)
            verdict = judge(
                reply.status, reply.headers, ask, shown=str(reply.url), max_bytes=self.max_bytes
            )
            if isinstance(verdict, StartOver):
                self.partial.discard()
                raise Interrupted(verdict.message)
            completed = self._receive(reply, verdict)
        total = verdict.note.total
        if total is not None and completed < total:
            raise Interrupted(f"{self.url}: broke off after {completed} of {total} bytes")
        return verdict.offset == 0 and total is not None

    def _receive(self, reply: Reply, verdict: Receive) -> int:
        if verdict.offset == 0:
            self.partial.begin(verdict.note)
        completed, total = verdict.offset, verdict.note.total
        self._check_room(completed, total)
        beginning = b"" if completed == 0 else None
        with self.partial.append() as stream:
            while chunk := reply.read():
                completed += len(chunk)
                if self.max_bytes is not None and completed > self.max_bytes:
                    raise too_large(str(reply.url), None, self.max_bytes)
                if beginning is not None:
                    beginning += chunk[:MINIMUM]
                    if len(beginning) >= MINIMUM:
                        self._check_beginning(beginning)
                        beginning = None
                stream.write(chunk)
                self.reporter.report(FetchStage.DOWNLOADING, completed, total)
        return completed

    def _check_beginning(self, data: bytes) -> None:
        try:
            check_beginning(data)
        except InvalidGgufError as error:
            self.partial.discard()
            raise FetchFailed(FetchReason.INVALID_MODEL, f"{self.uri}: {error}") from error

    def _check_room(self, completed: int, total: int | None) -> None:
        if total is None:
            return
        facts = os.statvfs(self.partial.path.parent)
        free = facts.f_bavail * facts.f_frsize
        if total - completed > free:
            raise FetchFailed(
                FetchReason.DISK_FULL,
                f"{self.uri}: {total - completed} bytes are to come and the model volume has"
                f" {free} free: enlarge it",
            )

    def _cache_failure(self, error: OSError) -> FetchFailed:
        failure = cache_failure(error, self.partial.path.parent)
        if failure.reason == FetchReason.DISK_FULL:
            # A full volume harms others; the next attempt sees beforehand that there is no room.
            self.partial.discard()
        return failure


def _given_up(interruption: Interrupted, failures: Failures) -> FetchFailed:
    return FetchFailed(
        FetchReason.DOWNLOAD_FAILED,
        f"{interruption.message} (given up after {failures.total} attempts)",
    )

"""Pages: JSON that others tell of themselves over HTTP. One that hangs holds nobody up.

Answers are shared between those who ask at about the same time, and none is waited for longer than
a moment: a late one wakes who asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

PATIENCE_SECONDS: Final = 0.1
"""Time that a pass waits for an answer; a late one wakes it again."""
READ_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 2.0
"""Time after which one who did not answer is asked again."""
READS: Final = 16
MAX_BYTES: Final = 4 << 20

DocumentT = TypeVar("DocumentT", bound=BaseModel)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page(Generic[DocumentT]):
    """What has come of one read."""

    document: DocumentT | None
    """None if there is none."""
    age: float
    """Seconds since it was read."""
    problem: str | None = None
    """Why there is none."""


@dataclass(slots=True)
class _Read:
    """The newest read of one page, running or ended."""

    task: asyncio.Task[BaseModel | str]
    """Its result is the document, or why there is none."""
    started: float
    fresh: float
    """Seconds for which the answer counts as the present one."""
    ended: float | None = None

    def is_stale(self, now: float) -> bool:
        """Return whether the page is to be read again."""
        if self.ended is None:
            return False
        is_silent = not isinstance(_outcome(self.task), BaseModel)
        return now - self.ended > (SILENT_SECONDS if is_silent else self.fresh)


class Pages:
    """Pages by URL."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._reads: dict[str, _Read] = {}
        self._slots = asyncio.Semaphore(READS)

    async def read(
        self,
        url: str,
        kind: type[DocumentT],
        late: Callable[[], None],
        *,
        fresh: float,
        seconds: float | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> Page[DocumentT] | None:
        """Return a page that is at most `fresh` seconds old; None if it does not come in time.

        An answer that comes after the wait calls `late`, so that somebody asks again. After
        `seconds`, by default `READ_SECONDS`, it is given up. `headers` may raise an OSError.
        """
        now = time.monotonic()
        read = self._reads.get(url)
        if read is None or read.is_stale(now):
            reading = self._read(url, kind, headers, READ_SECONDS if seconds is None else seconds)
            read = self._start(url, reading, now, fresh)
        patience = read.started + PATIENCE_SECONDS - now
        if not read.task.done() and patience > 0:
            await asyncio.wait({read.task}, timeout=patience)
        if not read.task.done():
            read.task.add_done_callback(lambda _: late())
            return None
        found = _outcome(read.task)
        age = max(0.0, time.monotonic() - (read.ended or read.started))
        if isinstance(found, kind):
            return Page(found, age)
        return Page(None, age, problem=str(found))

    async def close(self) -> None:
        """End all reads."""
        tasks = [read.task for read in self._reads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(
        self, url: str, reading: Coroutine[Any, Any, BaseModel | str], now: float, fresh: float
    ) -> _Read:
        for known, old in list(self._reads.items()):
            if old.is_stale(now):
                del self._reads[known]
        read = _Read(asyncio.create_task(reading), now, fresh)
        read.task.add_done_callback(lambda _: setattr(read, "ended", time.monotonic()))
        self._reads[url] = read
        return read

    async def _read(
        self,
        url: str,
        kind: type[BaseModel],
        headers: Callable[[], Mapping[str, str]],
        seconds: float,
    ) -> BaseModel | str:
        try:
            async with (
                self._slots,
                asyncio.timeout(seconds),
                self._session.get(url, headers=headers()) as response,
            ):
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_BYTES:
                        return f"an answer of more than {MAX_BYTES} bytes"
                if response.status != HTTPStatus.OK:
                    return f"HTTP {response.status}: {_first_line(answer)}".rstrip(": ")
                return kind.model_validate_json(bytes(answer))
        except TimeoutError:
            problem = "no answer in time"
        except ValidationError as error:
            problem = f"an answer of another form: {error.errors()[0]['msg']}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # A ValueError is about an address or a header that cannot be sent.
            problem = f"{type(error).__name__}: {error}".rstrip(": ")
        log.debug("%s: %s", url, problem)
        return problem


def _outcome(task: asyncio.Task[BaseModel | str]) -> BaseModel | str:
    """Return what has come of a read; a bug in one page is no trouble of the others."""
    if task.cancelled():
        return "the operator ends"
    bug = task.exception()
    if bug is None:
        return task.result()
    log.error("a page that is read: a bug", exc_info=bug)
    return f"a bug of the operator, {type(bug).__name__}: its log tells where"


def _first_line(answer: bytes | bytearray) -> str:
    return answer.decode(errors="replace").strip().partition("\n")[0][:200]

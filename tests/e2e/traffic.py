"""Steady requests to a router, plain and streamed, and what became of each."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

DONE: Final = "data: [DONE]"
REQUEST_SECONDS: Final = 120.0


@dataclass(slots=True)
class Outcome:
    """One request; times are seconds of the monotonic clock."""

    seed: int
    """Sent with the request: `/slots` of a server shows which requests it works on."""
    streamed: bool
    began: float
    status: int | None = None
    headers_at: float | None = None
    first_at: float | None = None
    """First event of a stream."""
    ended: float | None = None
    complete: bool = False
    """A plain answer is whole; a stream ended with [DONE]."""
    events: int = 0
    problem: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """`generation_settings` of the answer, where it holds them."""

    @property
    def good(self) -> bool:
        """Whether the client got all it asked for."""
        return self.status == 200 and self.complete and not self.problem


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for, and by how many clients at once."""

    url: str
    """Base of the router, without /v1."""
    model: str = "chat"
    plain: int = 0
    streams: int = 0
    plain_tokens: int = 8
    stream_tokens: int = 200
    pause: float = 0.0
    """Seconds between a plain client's answer and its next request."""
    body: dict[str, Any] = field(default_factory=dict)
    """Further members of each body."""


async def ask(session: aiohttp.ClientSession, load: Load, outcome: Outcome, tokens: int) -> None:
    """Send one completion and note what became of it."""
    body = {
        "model": load.model,
        "prompt": f"request {outcome.seed}",
        "max_tokens": tokens,
        "seed": outcome.seed,
        "stream": outcome.streamed,
        **load.body,
    }
    try:
        async with session.post(f"{load.url}/v1/completions", json=body) as answer:
            outcome.status, outcome.headers_at = answer.status, time.monotonic()
            if answer.status != 200 or not outcome.streamed:
                text = await answer.text()
                if answer.status != 200:
                    outcome.problem = text
                else:
                    outcome.complete = "choices" in json.loads(text)
            else:
                await _read_stream(answer, outcome)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        outcome.problem = f"{type(error).__name__}: {error}"
    outcome.ended = time.monotonic()


async def _read_stream(answer: aiohttp.ClientResponse, outcome: Outcome) -> None:
    async for line in _lines(answer):
        if not line.startswith("data: "):
            continue
        if outcome.first_at is None:
            outcome.first_at = time.monotonic()
        outcome.events += 1
        outcome.complete = line == DONE
        if '"error"' in line:
            outcome.problem = line


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[str]:
    rest = b""
    async for data in answer.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode().rstrip("\r")


class Traffic:
    """Clients that run in a thread of their own until they are told to stop."""

    def __init__(self, load: Load) -> None:
        self.outcomes: list[Outcome] = []
        self._load = load
        self._seeds = itertools.count(1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Let requests under way be the last ones."""
        self._stop.set()

    def stop(self, seconds: float = REQUEST_SECONDS) -> list[Outcome]:
        """Let requests under way end; returns all outcomes."""
        self.finish()
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"requests hang: {self.under_way()}"
        return self.outcomes

    def under_way(self) -> list[Outcome]:
        """Requests that have not ended."""
        return [outcome for outcome in list(self.outcomes) if outcome.ended is None]

    def count(self, holds: Callable[[Outcome], bool]) -> int:
        """How many outcomes a predicate holds for."""
        return sum(map(holds, list(self.outcomes)))

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            clients = [
                *(self._client(session, streamed=False) for _ in range(self._load.plain)),
                *(self._client(session, streamed=True) for _ in range(self._load.streams)),
            ]
            await asyncio.gather(*clients)

    async def _client(self, session: aiohttp.ClientSession, *, streamed: bool) -> None:
        load = self._load
        while not self._stop.is_set():
            outcome = Outcome(next(self._seeds), streamed, time.monotonic())
            self.outcomes.append(outcome)
            await ask(session, load, outcome, load.stream_tokens if streamed else load.plain_tokens)
            if not outcome.good:
                # A refused client waits a moment, or one fault would fill the list.
                await asyncio.sleep(0.05)
            elif load.pause and not streamed:
                await asyncio.sleep(load.pause)


@contextmanager
def steady(load: Load) -> Iterator[Traffic]:
    """Traffic for the length of a block; the block ends when the last request has."""
    traffic = Traffic(load)
    traffic.start()
    try:
        yield traffic
    finally:
        traffic.stop()


def failures(outcomes: list[Outcome], *, streamed: bool | None = None) -> list[str]:
    """What went wrong, one line for each failed request."""
    return [
        f"{'stream' if item.streamed else 'plain'} {item.seed}: {item.status} {item.problem}"
        for item in outcomes
        if not item.good and streamed in {None, item.streamed}
    ]

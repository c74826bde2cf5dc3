"""Logs are followed while their containers run; a flood of words keeps nobody busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from puna.cluster import pod_logs
from puna.cluster.client import Client
from puna.cluster.pod_logs import FOLLOW_BYTES, PodLogs, Told
from puna.core.plan import Manifest, Ref
from puna_fetch.config import FetchStage, Progress
from tests.unit.operator_shell.api_server import Server, serving
from tests.unit.operator_shell.waiting import until

POD = Ref("team-a", "fetcher")


def told(done: int) -> Progress:
    """What a fetch says after so many bytes."""
    return Progress(stage=FetchStage.DOWNLOADING, completed_bytes=done)


def line(done: int) -> bytes:
    """A line of progress."""
    return told(done).model_dump_json(by_alias=True).encode() + b"\n"


@dataclass
class Pods:
    """One Pod that runs until a test ends it."""

    running: bool = True

    def find(self, _kind: str, _ref: Ref) -> Manifest | None:
        return {"running": self.running}


@dataclass
class Heard:
    """What a follower told."""

    said: list[int] = field(default_factory=list)

    def news(self, _before: Progress | None, said: Progress) -> None:
        self.said.append(said.completed_bytes)


@asynccontextmanager
async def following(pods: Pods) -> AsyncIterator[tuple[Server, PodLogs[Progress]]]:
    async with serving() as (server, connection):
        channel = Told(Progress, "fetch", lambda pod: bool(pod and pod["running"]), 1)
        logs = PodLogs(Client(connection, lambda *_: None), pods, channel)
        try:
            yield server, logs
        finally:
            await logs.close()


def speaks(*parts: bytes, until_cut: asyncio.Event | None = None) -> Any:
    """A log that comes in parts."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.02)
        if until_cut is not None:
            await until_cut.wait()
        return response

    return answer


async def test_each_line_is_heard_as_it_is_said_however_it_is_cut() -> None:
    heard = Heard()
    async with following(Pods()) as (server, logs):
        cut = line(2)
        server.answers = [
            speaks(line(1), cut[:9], cut[9:], b"{no json}\nwords\n", until_cut=server.cut)
        ]
        assert logs.progress(POD, heard.news) is None
        await until(lambda: heard.said == [1, 2])
        assert logs.progress(POD, heard.news) == told(2)
        assert server.queries() == [
            {
                "container": "fetch",
                "follow": "true",
                "tailLines": "1",
                "limitBytes": str(FOLLOW_BYTES),
            }
        ]


async def test_what_is_said_last_is_read_after_the_end() -> None:
    heard, pods = Heard(), Pods(running=False)
    async with following(pods) as (server, logs):
        server.answers = [speaks(line(9))]
        logs.progress(POD, heard.news)
        await until(lambda: heard.said == [9])
        assert "follow" not in server.queries()[0]


async def test_a_log_that_ends_at_once_is_opened_anew_at_intervals(monkeypatch: Any) -> None:
    monkeypatch.setattr(pod_logs, "INTERVAL_SECONDS", 0.2)
    heard = Heard()
    async with following(Pods()) as (server, logs):
        server.answers = [speaks(line(1)), speaks(line(2)), speaks(line(3))]
        began = time.monotonic()
        logs.progress(POD, heard.news)
        await until(lambda: heard.said == [1, 2, 3])
        assert time.monotonic() - began >= 0.4


async def test_of_more_logs_than_are_followed_the_others_are_read(monkeypatch: Any) -> None:
    monkeypatch.setattr(pod_logs, "FOLLOWED", 1)
    async with following(Pods()) as (server, logs):
        server.answers = [speaks(line(1), until_cut=server.cut)]
        logs.progress(POD, Heard().news)
        await until(lambda: len(server.requests) == 1)
        server.answers = [speaks(line(5))]
        heard = Heard()
        logs.progress(Ref("team-a", "other"), heard.news)
        await until(lambda: heard.said == [5])
        assert [query.get("follow") for query in server.queries()] == ["true", None]

"""The watch against an API server that breaks in every way it may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from puna_router.control import watch as watch_module
from puna_router.control.cluster_access import Access
from puna_router.control.watch import Watch


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", (0.02, 0.1))
    monkeypatch.setattr(watch_module, "SHORTEST", 0.05)
    monkeypatch.setattr(watch_module, "STALL_TIMEOUT", 0.4)


def pod(name: str, version: int, filler: int = 0) -> dict[str, Any]:
    metadata = {"name": name, "resourceVersion": str(version), "managedFields": ["x" * filler]}
    return {"metadata": metadata}


def event(kind: str, found: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


class Server:
    """Answers lists and watches from scripts, the last one for ever."""

    def __init__(self) -> None:
        self.lists: list[list[dict[str, Any]] | int] = [[]]
        self.watches: list[list[bytes] | int | None] = [None]
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if "watch" not in query:
            self.asked.append("list")
            content = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if isinstance(content, int):
                return web.Response(status=content, text="no")
            return web.json_response({"metadata": {"resourceVersion": "10"}, "items": content})
        self.asked.append(f"watch {query['resourceVersion']}")
        script = self.watches.pop(0) if len(self.watches) > 1 else self.watches[0]
        if isinstance(script, int):
            return web.Response(status=script, text="no")
        response = web.StreamResponse()
        await response.prepare(request)
        if script is None:
            await asyncio.sleep(600)
            return response
        for part in script:
            await response.write(part)
        return response


@asynccontextmanager
async def following(server: Server) -> AsyncIterator[Watch]:
    application = web.Application()
    application.router.add_get("/pods", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        access = Access(f"http://127.0.0.1:{port}", None, token="t")
        watch = Watch(session, access, path="/pods", selector="a=b", changed=lambda: None)
        task = asyncio.create_task(watch.run())
        try:
            yield watch
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await runner.cleanup()


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def names(watch: Watch) -> list[str]:
    return sorted(found["metadata"]["name"] for found in watch.objects())


async def test_events_change_the_list_and_bookmarks_only_the_version() -> None:
    server = Server()
    server.lists = [[pod("a", 1)]]
    server.watches = [
        [
            event("ADDED", pod("b", 11)) + event("MODIFIED", pod("a", 12))[:20],
            event("MODIFIED", pod("a", 12))[20:] + event("DELETED", pod("b", 13)),
            event("BOOKMARK", pod("", 99)),
        ],
        None,
    ]
    async with following(server) as watch:
        await reached(lambda: "watch 99" in server.asked)
        assert names(watch) == ["a"]
        assert watch.objects() == [{"metadata": {"name": "a", "resourceVersion": "12"}}]
    assert server.asked.count("list") == 1


async def test_an_object_may_be_larger_than_any_buffer() -> None:
    server = Server()
    server.watches = [[event("ADDED", pod("big", 11, filler=3_000_000))], None]
    async with following(server) as watch:
        await reached(lambda: names(watch) == ["big"])


@pytest.mark.parametrize(
    "expired", [410, [event("ERROR", {"kind": "Status", "code": 410})]], ids=["status", "event"]
)
async def test_a_version_that_is_too_old_means_a_new_list(expired: int | list[bytes]) -> None:
    server = Server()
    server.lists = [[pod("old", 1)], [pod("new", 2)]]
    server.watches = [expired, None]
    async with following(server) as watch:
        await reached(lambda: names(watch) == ["new"])


@pytest.mark.parametrize(
    "fault",
    [500, 401, [event("ERROR", {"code": 500})], [b'{"type": "ADD'], [b"no json\n"], [b'"x"\n']],
)
async def test_whatever_fails_is_tried_again_and_what_is_known_stays(fault: Any) -> None:
    server = Server()
    server.lists = [[pod("a", 1)]]
    server.watches = [fault, [event("ADDED", pod("b", 11))], None]
    async with following(server) as watch:
        await reached(lambda: names(watch) == ["a", "b"])


async def test_a_list_that_fails_is_tried_again() -> None:
    server = Server()
    server.lists = [503, 403, [pod("a", 1)]]
    async with following(server) as watch:
        await asyncio.wait_for(watch.listed.wait(), 30)
        assert watch.restarts == 2


async def test_a_silent_watch_is_begun_again_where_it_was() -> None:
    server = Server()
    async with following(server):
        await reached(lambda: server.asked.count("watch 10") >= 2)
    assert server.asked.count("list") == 1


async def test_a_server_that_ends_each_watch_at_once_is_not_flooded() -> None:
    server = Server()
    server.watches = [[]]
    async with following(server):
        await asyncio.sleep(0.5)
    assert len(server.asked) < 15

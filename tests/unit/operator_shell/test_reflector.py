"""The reflector stays in step with an API server that is slow, cut off or not ready yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from puna.cluster.connection import Connection
from puna.cluster.reflector import Reflector
from puna.cluster.resources import BY_KIND, SECRETS, ResourceType
from puna.core.plan import Manifest
from tests.unit.operator_shell.api_server import failure, page, serving, watch
from tests.unit.operator_shell.waiting import until

PODS = BY_KIND["Pod"]


class Recorder:
    """A sink that writes down what it is given."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def listed(self, resource: ResourceType, objects: list[Manifest], version: str) -> None:
        assert all(item["kind"] == resource.kind for item in objects)
        self.heard.append(("LISTED", [item["metadata"]["name"] for item in objects], version))

    def changed(self, _: ResourceType, event: str, manifest: Manifest) -> None:
        self.heard.append((event, manifest["metadata"]["name"]))

    def passed(self, _: ResourceType, version: str) -> None:
        self.heard.append(("PASSED", version))


def item(name: str, version: int = 1) -> Manifest:
    return {"metadata": {"name": name, "namespace": "team", "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Manifest:
    return {"type": kind, "object": item(name, version) | {"kind": "Pod"}}


@asynccontextmanager
async def reflecting(
    connection: Connection, resource: ResourceType = PODS, **options: Any
) -> AsyncIterator[tuple[Recorder, list[str]]]:
    recorder, restarts = Recorder(), list[str]()
    reflector = Reflector(
        connection,
        resource,
        recorder,
        namespace=None,
        keep=lambda manifest: manifest,
        restarted=restarts.append,
        **options,
    )
    task = asyncio.create_task(reflector.run())
    try:
        yield recorder, restarts
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_list_of_pages_is_followed_by_a_watch_from_its_version() -> None:
    async with serving() as (server, connection):
        server.answers = [
            page(item("a"), version=7, more="next"),
            page(item("b"), version=7),
            watch(
                server,
                event("MODIFIED", "a", 8),
                event("DELETED", "b", 9),
                {"type": "BOOKMARK", "object": item("", 12)},
            ),
        ]
        async with reflecting(connection) as (recorder, restarts):
            await until(lambda: len(recorder.heard) == 4)
        assert recorder.heard == [
            ("LISTED", ["a", "b"], "7"),
            ("MODIFIED", "a"),
            ("DELETED", "b"),
            ("PASSED", "12"),
        ]
        assert restarts == []
        first, second, third = server.queries()
        assert "resourceVersion" not in first
        assert second["continue"] == "next"
        assert third["resourceVersion"] == "7"
        assert third["allowWatchBookmarks"] == "true"


async def test_selectors_are_the_servers_work() -> None:
    async with serving() as (server, connection):
        server.answers = [page(version=1), watch(server)]
        async with reflecting(connection, SECRETS):
            await until(lambda: len(server.requests) == 2)
        assert {query["fieldSelector"] for query in server.queries()} == {
            "metadata.name=puna-backend-key"
        }
        assert server.requests[0].path == "/api/v1/secrets"


async def test_a_watch_that_is_cut_off_goes_on_where_it_was() -> None:
    async with serving() as (server, connection):
        server.answers = [
            page(version=7),
            watch(server, event("ADDED", "a", 8), stay=False),
            watch(server, event("MODIFIED", "a", 9)),
        ]
        async with reflecting(connection) as (recorder, restarts):
            await until(lambda: ("MODIFIED", "a") in recorder.heard)
        assert server.queries()[2]["resourceVersion"] == "8"
        assert [entry[0] for entry in recorder.heard] == ["LISTED", "ADDED", "MODIFIED"]
        assert restarts == ["Pod"]


@pytest.mark.parametrize("gone", ["as an answer", "as an event"])
async def test_a_version_that_is_too_old_leads_to_a_new_list(gone: str) -> None:
    async with serving() as (server, connection):
        expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "old"}}
        server.answers = [
            page(item("a"), version=7),
            failure(410) if gone == "as an answer" else watch(server, expired),
            page(item("b"), version=20),
            watch(server),
        ]
        async with reflecting(connection) as (recorder, _):
            await until(lambda: len(server.requests) == 4)
        assert recorder.heard == [("LISTED", ["a"], "7"), ("LISTED", ["b"], "20")]


async def test_a_resource_that_is_not_there_yet_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (server, connection):
        server.answers = [
            failure(404),
            failure(404),
            failure(429, **{"Retry-After": "1"}),
            page(version=3),
            watch(server),
        ]
        with caplog.at_level("INFO"):
            async with reflecting(connection) as (recorder, _):
                await until(lambda: len(server.requests) == 5)
        assert recorder.heard == [("LISTED", [], "3")]
        assert caplog.text.count("there is no resource pods yet") == 1
        assert "works again" in caplog.text


async def test_a_silent_watch_is_opened_anew() -> None:
    async with serving() as (server, connection):
        server.answers = [page(version=7), watch(server), watch(server)]
        async with reflecting(connection, silence_seconds=0.2) as (_, restarts):
            await until(lambda: len(server.requests) == 3)
        assert restarts[:1] == ["Pod"]
        assert server.queries()[2]["resourceVersion"] == "7"


async def test_a_watch_that_fails_again_and_again_lists_again_and_does_not_hurry() -> None:
    async with serving() as (server, connection):
        server.answers = [page(version=7), failure(500)]
        began = time.monotonic()
        async with reflecting(connection):
            await until(lambda: len(server.requests) == 5)
        assert time.monotonic() - began > 0.7
        assert ["watch" in query for query in server.queries()] == [False, *[True] * 3, False]


async def test_an_api_server_that_is_away_is_not_hammered() -> None:
    async with serving() as (server, connection):
        server.answers = [page(version=1), watch(server)]
        connection.configuration.host = "http://127.0.0.1:9"
        async with reflecting(connection) as (recorder, restarts):
            await until(lambda: bool(restarts))
            await asyncio.sleep(1.0)
            assert len(restarts) <= 10
            assert recorder.heard == []


async def test_an_answer_that_is_no_json_is_trouble_and_no_end() -> None:
    async def login_page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>please log in</html>")

    async with serving() as (server, connection):
        server.answers = [login_page, page(item("a"), version=7), login_page, watch(server)]
        async with reflecting(connection) as (recorder, restarts):
            await until(lambda: len(server.requests) == 4)
        assert recorder.heard == [("LISTED", ["a"], "7")]
        assert restarts == ["Pod", "Pod"]


async def test_a_refusal_counts_as_hearing_from_the_api_server() -> None:
    async with serving() as (server, connection):
        server.answers = [failure(404)]
        reflector = Reflector(
            connection,
            PODS,
            Recorder(),
            namespace=None,
            keep=lambda manifest: manifest,
            restarted=lambda _: None,
        )
        reflector.heard_at = 0.0
        task = asyncio.create_task(reflector.run())
        await until(lambda: reflector.heard_at > 0.0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

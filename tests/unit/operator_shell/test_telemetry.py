"""Reads of routers, logs and references: bounded, shared, and nobody waits for one that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from puna.api.reasons import EventReason
from puna.cluster import pages, pod_logs
from puna.cluster.client import Client
from puna.cluster.events import EventSender, event_object
from puna.cluster.pages import Pages
from puna.cluster.pod_logs import READS, PodLogs, Told
from puna.cluster.references import References
from puna.cluster.telemetry import Telemetry
from puna.cluster.unlabelled import Unlabelled
from puna.core.plan import Event, Ref
from puna.endpoint.diagnosis import is_fetching
from puna_fetch.config import Progress
from puna_router.config import RouterState
from tests.unit.operator_shell.api_server import Answer, Server, document, failure, serving
from tests.unit.operator_shell.objects import endpoint, pod
from tests.unit.operator_shell.waiting import until

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STATE = {"endpoints": {"chat": {"phase": "Applied", "digest": "d", "backends": []}}}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for every answer that comes at all: how long is not what a test is about."""
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 30)
    monkeypatch.setattr(pages, "READ_SECONDS", 30)


@asynccontextmanager
async def router() -> AsyncIterator[tuple[Server, Telemetry]]:
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        read = Pages(session)
        yield server, Telemetry(read, port=int(connection.host.rsplit(":", 1)[1]))
        await read.close()


class Pods:
    """A store without objects."""

    def find(self, kind: str, ref: Ref) -> None:
        """Find nothing."""


async def answer_text(text: str) -> web.Response:
    return web.Response(text=text)


def client(connection: object) -> Client:
    return Client(connection, lambda *_: None)  # type: ignore[arg-type]


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(600)
    return web.Response()


def nobody(*_: object) -> None:
    """Somebody who is not to be woken."""
    raise AssertionError


@pytest.mark.usefixtures("patient")
async def test_one_answer_is_shared_by_those_who_ask_together() -> None:
    async with router() as (server, asked):
        server.answers = [document(STATE)]
        states = await asyncio.gather(*(asked.state("127.0.0.1", nobody) for _ in range(9)))
        assert {state.endpoints["chat"].digest for state in states if state} == {"d"}
        assert len(server.requests) == 1
        await asyncio.sleep(0.15)
        await asked.state("127.0.0.1", nobody)
        assert len(server.requests) == 2


@pytest.mark.usefixtures("patient")
async def test_samples_are_shared_for_a_second_and_say_how_old_they_are() -> None:
    async with router() as (server, asked):
        server.answers = [document({"uptimeSeconds": 12.0, "revisions": {"8f3a12cd": {}}})]
        for _ in range(2):
            found = await asked.samples("127.0.0.1", "chat", nobody)
            assert found is not None
            samples, age = found
            assert (samples.uptime_seconds, set(samples.revisions)) == (12.0, {"8f3a12cd"})
            assert 0 <= age < 1
        assert [request.path for request in server.requests] == ["/samples/chat"]


async def test_who_asks_a_router_that_hangs_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 1)
    monkeypatch.setattr(pages, "READ_SECONDS", 600)
    async with router() as (server, asked):
        server.answers = [hang]
        late: list[None] = []
        async with asyncio.timeout(20):
            for _ in range(200):
                assert await asked.state("127.0.0.1", lambda: late.append(None)) is None
        assert late == []
        assert len(server.requests) == 1


async def test_a_router_that_hangs_is_given_up_and_told_of_later() -> None:
    async with router() as (server, asked):
        server.answers = [hang]
        late: list[None] = []
        assert await asked.state("127.0.0.1", lambda: late.append(None)) is None
        await until(lambda: late == [None])
        assert len(server.requests) == 1


async def test_a_late_answer_wakes_who_asked_and_is_there_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "READ_SECONDS", 30)
    async with router() as (server, asked):
        waited = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            await waited.wait()
            return await document(STATE)(request)

        server.answers = [slow]
        woken = asyncio.Event()
        assert await asked.state("127.0.0.1", woken.set) is None
        waited.set()
        await until(woken.is_set)
        monkeypatch.setattr(pages, "PATIENCE_SECONDS", 30)
        assert isinstance(await asked.state("127.0.0.1", nobody), RouterState)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "answer", [document([1]), failure(500), document({"endpoints": {"a": {}}})]
)
async def test_nonsense_is_no_answer(answer: Answer) -> None:
    async with router() as (server, asked):
        server.answers = [answer]
        assert await asked.state("127.0.0.1", nobody) is None


async def test_progress_is_followed_while_a_pod_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_logs, "INTERVAL_SECONDS", 1.0)
    async with serving() as (server, connection):
        line = {"stage": "Downloading", "completedBytes": 5, "totalBytes": 9}
        server.answers = [document(line)]
        fetching = True
        told = Told(Progress, "fetch", lambda _: fetching, lines=1)
        logs = PodLogs(client(connection), Pods(), told)
        woken = asyncio.Event()
        ref = Ref("team", "chat-x")
        assert logs.progress(ref, lambda *_: woken.set()) is None
        await until(woken.is_set)
        progress = logs.progress(ref, lambda *_: woken.set())
        assert progress is not None
        assert progress.completed_bytes == 5
        query = server.queries()[0]
        assert (query["container"], query["tailLines"]) == ("fetch", "1")
        fetching = False
        await until(lambda: len(server.requests) == 2)
        await asyncio.sleep(1.5)
        assert len(server.requests) == 2, "what was said last is read once more"
        await logs.close()


async def test_progress_is_found_among_other_lines() -> None:
    async with serving() as (server, connection):
        line = '{"stage": "Verifying", "completedBytes": 5}'
        text = f"{line}\nWarning: {{}}\n{{}}\n"
        server.answers = [lambda _: answer_text(text)]
        logs = PodLogs(
            client(connection), Pods(), Told(Progress, "fetch", lambda _: False, lines=16)
        )
        woken = asyncio.Event()
        logs.progress(Ref("team", "chat-x"), lambda *_: woken.set())
        await until(woken.is_set)
        progress = logs.progress(Ref("team", "chat-x"), lambda *_: woken.set())
        assert progress is not None
        assert progress.completed_bytes == 5
        assert server.queries()[0]["tailLines"] == "16"
        await logs.close()


async def test_logs_that_hang_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_logs, "FOLLOWED", 2)
    monkeypatch.setattr(pod_logs, "READ_SECONDS", 600)
    async with serving() as (server, connection):
        server.answers = [hang]
        told = Told(Progress, "fetch", lambda _: True, lines=1)
        logs = PodLogs(client(connection), Pods(), told)
        for number in range(READS + 6):
            assert logs.progress(Ref("team", f"chat-{number}"), nobody) is None
        await until(lambda: len(server.requests) == READS + 2)
        await asyncio.sleep(0.3)
        assert len(server.requests) == READS + 2
        await logs.close()


def test_a_fetch_runs_while_its_container_does() -> None:
    running = pod("p", ready=False)
    running["status"]["initContainerStatuses"] = [{"name": "fetch", "state": {"running": {}}}]
    assert is_fetching(running)
    assert not is_fetching(pod("p", ready=True))
    assert not is_fetching(None)


async def test_events_are_sent_in_the_background_and_survive_a_busy_server() -> None:
    async with serving() as (server, connection):
        server.answers = [failure(503), document({}, code=201)]
        dropped: list[None] = []
        sender = EventSender(client(connection), lambda: dropped.append(None))
        task = asyncio.create_task(sender.run())
        event = Event("Normal", EventReason.PROMOTED, "revision 1 serves")
        sender.emit(endpoint(), event, NOW)
        await sender.flush(30)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert len(server.requests) == 2
        assert server.requests[0].path == "/api/v1/namespaces/team/events"
        assert dropped == []


async def test_events_that_are_refused_are_counted() -> None:
    async with serving() as (server, connection):
        server.answers = [failure(403)]
        dropped: list[None] = []
        sender = EventSender(client(connection), lambda: dropped.append(None))
        task = asyncio.create_task(sender.run())
        sender.emit(endpoint(), Event("Normal", EventReason.PROMOTED, "x"), NOW)
        await sender.flush(30)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert len(dropped) == 1


def test_an_event_names_its_resource_and_is_cut_to_what_the_server_takes() -> None:
    event = Event("Warning", EventReason.STALLED, "x" * 5000)
    manifest = event_object(endpoint(), event, NOW)
    assert manifest["involvedObject"]["uid"] == "uid-of-LLMEndpoint-chat"
    assert len(manifest["message"]) == 1024
    assert manifest["firstTimestamp"] == "2026-03-01T00:00:00Z"
    assert manifest["metadata"]["name"].startswith("chat.")


async def test_a_missing_secret_is_looked_for_again_and_a_found_one_is_not() -> None:
    async with serving() as (server, connection):
        server.answers = [failure(404), document({"metadata": {"name": "s"}})]
        references = References(client(connection))
        assert not await references.has_secret(Ref("team", "s"))
        assert not await references.has_secret(Ref("team", "s"))
        assert len(server.requests) == 1
        assert await references.has_secret(Ref("team", "t"))
        assert await references.has_secret(Ref("team", "t"))
        assert len(server.requests) == 2
        assert "PartialObjectMetadata" in server.requests[0].headers["Accept"]


async def test_a_secret_that_may_not_be_read_counts_as_there() -> None:
    async with serving() as (server, connection):
        server.answers = [failure(403)]
        assert await References(client(connection)).has_secret(Ref("team", "s"))


async def test_taken_names_are_listed_once_for_all_who_ask() -> None:
    async with serving() as (server, connection):
        server.answers = [document({"items": [{"metadata": {"name": "web"}}]})]
        unlabelled = Unlabelled(client(connection))
        names = await asyncio.gather(*(unlabelled.by_name("Service", "team") for _ in range(5)))
        assert all(set(found) == {"web"} for found in names)
        assert len(server.requests) == 1
        unlabelled.expire("Service", "team")
        await unlabelled.by_name("Service", "team")
        assert len(server.requests) == 2
        assert server.queries()[0]["labelSelector"] == "app.kubernetes.io/managed-by!=puna"

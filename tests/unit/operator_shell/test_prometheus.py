"""Prometheus is asked as its API wants it, and what is wrong with it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from puna.api.llmendpoint import LLMEndpoint
from puna.cluster import pages
from puna.cluster.pages import Page, Pages
from puna.cluster.prometheus import Prometheus
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.scraped import Answer as Samples
from puna.endpoint.scraped import samples_query
from puna.observe import find_endpoint, observe_endpoint
from tests.factories import NOW
from tests.unit.endpoint.test_scraped import STABLE, scrape
from tests.unit.operator_shell import objects
from tests.unit.operator_shell.api_server import Answer, Server, document, serving
from tests.unit.operator_shell.test_acknowledged import CHAT, World, a_world
from tests.unit.operator_shell.test_readings import ANALYSED

NOTHING = {"status": "success", "data": {"resultType": "matrix", "result": []}}
QUERY = samples_query(CHAT)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for every answer that comes at all."""
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 30)


@asynccontextmanager
async def prometheus(
    answer: Answer, token_file: Path | None = None
) -> AsyncIterator[tuple[Server, Prometheus]]:
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        server.answers = [answer]
        read = Pages(session)
        yield server, Prometheus(read, f"{connection.host}/tenant/", token_file=token_file)
        await read.close()


def nobody() -> None:
    """Somebody who is not to be woken."""
    raise AssertionError


async def asked(made: Prometheus) -> Page[Samples]:
    page = await made.query(QUERY, Samples, nobody)
    assert page is not None
    return page


async def test_a_query_is_sent_below_its_address_with_the_present_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n", encoding="utf-8")
    async with prometheus(document(NOTHING), token) as (server, made):
        page = await asked(made)
        assert page.document is not None
        assert page.document.data.result == []
        assert server.requests[0].path == "/tenant/api/v1/query"
        assert server.queries() == [{"query": QUERY}]
        assert server.requests[0].headers["Authorization"] == "Bearer first"
        token.write_text("second", encoding="utf-8")
        await asyncio.sleep(1.1)
        await asked(made)
        assert server.requests[1].headers["Authorization"] == "Bearer second"


async def refuse(_: web.Request) -> web.StreamResponse:
    return web.Response(status=401, text="who are you?\nsecond line")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (refuse, "HTTP 401: who are you?"),
        (document({"status": "success", "data": {"resultType": "vector", "result": []}}), "form"),
        (document([]), "an answer of another form: "),
    ],
)
async def test_what_is_wrong_with_an_answer_is_told(answer: Answer, problem: str) -> None:
    async with prometheus(answer) as (_, made):
        page = await asked(made)
        assert page.document is None
        assert problem in str(page.problem)


async def test_a_token_that_is_missing_is_told(tmp_path: Path) -> None:
    async with prometheus(document(NOTHING), tmp_path / "token") as (server, made):
        page = await asked(made)
        assert str(tmp_path / "token") in str(page.problem)
        assert server.requests == []


@pytest.mark.parametrize("token", [b"two\nlines", b"\xff\xfe"])
async def test_a_token_that_cannot_be_sent_is_no_trouble_of_other_pages(
    tmp_path: Path, token: bytes
) -> None:
    (tmp_path / "token").write_bytes(token)
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        server.answers = [document(NOTHING)]
        read = Pages(session)
        asked_with = Prometheus(read, connection.host, token_file=tmp_path / "token")
        assert (await asked(asked_with)).document is None
        assert (await asked(Prometheus(read, f"{connection.host}/other"))).document is not None
        await read.close()


def test_its_name_has_no_credentials() -> None:
    made = Prometheus(None, "https://reader:secret@prometheus:9090/x/")  # type: ignore[arg-type]
    assert made.name == "https://prometheus:9090/x"


async def observed(world: World, server: Server, connection: str) -> ObservedEndpoint:
    """What is read of an endpoint when Prometheus is to tell."""
    world.show(objects.endpoint(spec=ANALYSED))
    world.router.answers = [document({"endpoints": {}})]
    endpoint = find_endpoint(world.context, CHAT)
    assert isinstance(endpoint, LLMEndpoint)
    async with aiohttp.ClientSession() as session:
        read = Pages(session)
        context = replace(world.context, prometheus=Prometheus(read, connection))
        found = await observe_endpoint(context, endpoint)
        await read.close()
    assert not any(request.path.startswith("/samples/") for request in world.router.requests)
    assert len(server.requests) == 1
    return found


async def test_readings_come_from_prometheus_and_no_router_is_asked_for_them() -> None:
    async with a_world() as world, serving() as (server, connection):
        scraped = scrape((NOW - timedelta(seconds=5), 40), pod="r")
        data = {"resultType": "matrix", "result": scraped}
        server.answers = [document({"status": "success", "data": data})]
        found = await observed(world, server, connection.host)
        (router,) = found.routers
        assert router.reading is not None
        assert router.reading.of(STABLE).requests == 40


async def test_why_there_are_no_readings_is_known() -> None:
    async with a_world() as world, serving() as (server, connection):
        server.answers = [document(NOTHING)]
        found = await observed(world, server, connection.host)
        assert [router.reading for router in found.routers] == [None]
        assert found.unread == f"Prometheus at {connection.host} has no answer to {QUERY}"
    async with a_world() as world, serving() as (server, connection):
        server.answers = [refuse]
        found = await observed(world, server, connection.host)
        assert found.unread == (
            f"Prometheus at {connection.host} does not answer: HTTP 401: who are you?"
        )

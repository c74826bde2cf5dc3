"""What routers have counted, read from a real Prometheus instead of from themselves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx
import psutil
import pytest

from puna.cluster.pages import Pages
from puna.cluster.prometheus import Prometheus
from puna.core.plan import Ref
from puna.endpoint.samples import Reading
from puna.endpoint.scraped import Answer, readings, samples_query
from puna_router.samples import SERIES, EndpointSamples
from tests.prometheus import scraping
from tests.router.conftest import StartRouter
from tests.router.lab import LabProgram
from tests.router.program import RouterProgram, endpoint, eventually, revision

pytestmark = pytest.mark.api
CHAT = Ref("team", "chat")
POD = "router-0"
UNHEARD = Reading(POD, datetime.min.replace(tzinfo=UTC), {})
STABLE, CANARY = "aaaaaaaa", "bbbbbbbb"


def own(router: RouterProgram) -> EndpointSamples:
    """What a router says itself."""
    answer = httpx.get(f"{router.control}/samples/{CHAT.name}").raise_for_status()
    return EndpointSamples.model_validate_json(answer.text)


def heard(url: str) -> Reading:
    """What an operator reads of Prometheus about the router."""

    async def ask() -> dict[str, Reading]:
        async with aiohttp.ClientSession() as session:
            pages = Pages(session)
            late = asyncio.Event()
            prometheus = Prometheus(pages, url)
            page = await prometheus.query(samples_query(CHAT), Answer, late.set)
            if page is None:
                await asyncio.wait_for(late.wait(), 30)
                page = await prometheus.query(samples_query(CHAT), Answer, late.set)
            await pages.close()
        assert page is not None
        assert page.document is not None, page.problem
        return readings(page.document, CHAT)

    return asyncio.run(ask()).get(POD, UNHEARD)


def ask(router: RouterProgram, count: int) -> None:
    for _ in range(count):
        router.client.post("/v1/chat/completions", json={"model": "chat", "messages": []})


def kill_envoy(router: RouterProgram) -> None:
    """End it; the router starts another one."""
    children = psutil.Process(router.process.pid).children()
    (envoy,) = (child for child in children if child.name() == "envoy")
    envoy.kill()


def test_prometheus_tells_what_the_router_itself_tells(
    start_router: StartRouter, tmp_path: Path
) -> None:
    with LabProgram("--tokens", "4") as lab:
        both = [revision(STABLE), revision(CANARY, weight=0)]
        router = start_router([endpoint("chat", *both)], {"chat": [lab.backend]})
        router.wait_healthy(1)
        routers = {POD: urlsplit(router.control).netloc}
        with scraping(tmp_path / "prometheus", routers, CHAT.namespace) as url:
            ask(router, 6)
            lab.follow(error_500=1.0)
            ask(router, 2)
            eventually(lambda: own(router).revisions[STABLE].requests == 8)
            eventually(lambda: heard(url).revisions == own(router).revisions)
            reading = heard(url)
            assert reading.revisions[STABLE].failed == 2
            assert reading.revisions[STABLE].duration.count == 6
            assert reading.start == own(router).start
            assert reading.at is not None
            assert abs(datetime.now(UTC) - reading.at) < timedelta(minutes=5)
            kill_envoy(router)
            eventually(lambda: heard(url).start != reading.start)
            eventually(lambda: heard(url).revisions[STABLE].requests == 0)


def test_an_endpoint_with_one_revision_has_nothing_to_compare(start_router: StartRouter) -> None:
    router = start_router([endpoint("chat")], {"chat": []})
    assert f"{SERIES}{{" not in router.metrics()
    router.update([endpoint("chat", revision(STABLE), revision(CANARY, weight=0))], {"chat": []})
    eventually(lambda: f"{SERIES}{{" in router.metrics())

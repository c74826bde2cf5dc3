"""What routers have counted is told with the start that it was counted from."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from aiohttp import web

from puna.api.llmendpoint import LLMEndpoint
from puna.cluster.telemetry import FRESH_SAMPLES_SECONDS
from puna.endpoint.samples import Reading, begin
from puna.observe import find_endpoint, observe_endpoint
from puna_router.samples import RevisionSamples
from tests.factories import NOW
from tests.unit.operator_shell import objects
from tests.unit.operator_shell.api_server import document
from tests.unit.operator_shell.test_acknowledged import CHAT, World, a_world

STABLE = "aaaaaaaa"
ANALYSED = {
    "accelerator": "cpu",
    "model": {"uri": "file:///m.gguf"},
    "rollout": {
        "strategy": "Canary",
        "canary": {"steps": [{"weight": 10, "holdSeconds": 60}], "analysis": {}},
    },
}


def count(world: World, requests: int) -> None:
    """Let the router have counted requests of one revision."""
    revisions = {STABLE: RevisionSamples(requests=requests).model_dump(by_alias=True)}
    samples = {"uptimeSeconds": 3600.0, "start": "2026-03-01T11:00:00Z", "revisions": revisions}

    async def answer(request: web.Request) -> web.StreamResponse:
        told = samples if request.path.startswith("/samples/") else {"endpoints": {}}
        return await document(told)(request)

    world.router.answers = [answer]


async def look(world: World, *, ahead: timedelta) -> Reading:
    """What an operator finds whose clock is ahead of the others."""
    endpoint = find_endpoint(world.context, CHAT)
    assert isinstance(endpoint, LLMEndpoint)
    context = replace(world.context, clock=lambda: NOW + ahead)
    (router,) = (await observe_endpoint(context, endpoint)).routers
    assert router.reading is not None
    return router.reading


async def test_an_operator_with_another_clock_sees_no_start_of_envoy() -> None:
    async with a_world() as world:
        world.show(objects.endpoint(spec=ANALYSED))
        count(world, 100)
        before = await look(world, ahead=timedelta(0))
        baseline = begin([before], [STABLE], since=NOW, reference=None)
        count(world, 130)
        await asyncio.sleep(FRESH_SAMPLES_SECONDS * 1.1)
        now = await look(world, ahead=timedelta(seconds=10))
        assert now.started - before.started > timedelta(seconds=9)
        assert baseline.window([now], STABLE, NOW).requests == 30

"""Routers are asked about a document until they run it, and no more after that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import pytest

from puna.api.llmendpoint import LLMEndpoint
from puna.cluster import pages
from puna.cluster.pages import Pages
from puna.cluster.resources import BY_KIND
from puna.cluster.telemetry import FRESH_SECONDS, Telemetry
from puna.context import Context
from puna.core.plan import Manifest, Ref
from puna.observe import find_endpoint, observe_endpoint
from puna.runtime import Runtime
from puna_router.config import config_digest
from tests.factories import settings
from tests.unit.operator_shell import objects
from tests.unit.operator_shell.api_server import Server, document, serving

CHAT = Ref(objects.TEAM, "chat")


@dataclass
class World:
    """An operator's view of one Ready endpoint behind one router."""

    context: Context
    router: Server
    version: int = 1

    def show(self, manifest: Manifest) -> None:
        self.version += 1
        manifest["metadata"]["resourceVersion"] = str(self.version)
        self.context.store.changed(BY_KIND[manifest["kind"]], "MODIFIED", manifest)

    def hand_out(self, text: str) -> None:
        """Let the operator have written a document."""
        child = objects.child("ConfigMap", "chat-router-config")
        self.show(child | {"apiVersion": "v1", "data": {"endpoint.json": text}})

    def run(self, text: str, phase: str = "Applied") -> None:
        """Let the router run a document."""
        state = {"phase": phase, "digest": config_digest(text), "backends": []}
        self.router.answers = [document({"endpoints": {"chat": state}})]

    async def asks(self) -> bool:
        """Whether one more pass asks the router."""
        endpoint = find_endpoint(self.context, CHAT)
        assert isinstance(endpoint, LLMEndpoint)
        await asyncio.sleep(FRESH_SECONDS * 1.2)
        before = len(self.router.requests)
        seen = await observe_endpoint(self.context, endpoint)
        assert seen.routers_asked is (len(self.router.requests) > before)
        return seen.routers_asked


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        port = int(connection.host.rsplit(":", 1)[1])
        read = Pages(session)
        asked = Telemetry(read, port=port)
        context = replace(Runtime(settings(), connection, session).context, telemetry=asked)
        world = World(context, server)
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }
        world.show(objects.endpoint(status={"conditions": [ready]}))
        world.show(objects.pod("p", ready=True))
        router = objects.pod("r", ready=True, router=True)
        router["status"]["podIP"] = "127.0.0.1"
        world.show(router)
        world.hand_out("{}")
        with pytest.MonkeyPatch.context() as patch:
            # Every answer comes in time, however busy the machine is.
            patch.setattr(pages, "PATIENCE_SECONDS", 30)
            patch.setattr(pages, "READ_SECONDS", 30)
            yield world
        await read.close()


async def test_an_operator_that_starts_asks_once() -> None:
    async with a_world() as world:
        world.run("{}")
        assert [await world.asks() for _ in range(3)] == [True, False, False]


async def test_another_document_is_asked_about_until_the_router_runs_it() -> None:
    async with a_world() as world:
        world.run("{}")
        await world.asks()
        world.hand_out('{"presets": {}}')
        assert [await world.asks() for _ in range(2)] == [True, True]
        world.run("{}", "Rejected")
        assert await world.asks()
        world.run('{"presets": {}}')
        assert [await world.asks() for _ in range(2)] == [True, False]


async def test_what_is_known_of_an_endpoint_goes_with_it() -> None:
    async with a_world() as world:
        world.run("{}")
        await world.asks()
        assert set(world.context.acknowledged) == {CHAT}
        gone = objects.endpoint()
        gone["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
        world.show(gone)
        assert find_endpoint(world.context, CHAT) is None
        assert world.context.acknowledged == {}

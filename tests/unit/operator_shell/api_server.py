"""An API server that misbehaves on demand: each request is answered by what a test lays ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web
from kubernetes.aio.client import Configuration

from puna.cluster.connection import Connection

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers in order; the last one stays."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.answers: list[Answer] = []
        self.cut = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def queries(self) -> list[dict[str, str]]:
        """The query of every request so far."""
        return [dict(request.query) for request in self.requests]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, Connection]]:
    """Serve on a free port of the loopback."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    try:
        async with aiohttp.ClientSession() as session:
            yield server, Connection(session, configuration, None)
    finally:
        server.cut.set()
        await runner.cleanup()


def page(*items: Any, version: int, more: str = "") -> Answer:
    """One page of a list."""
    metadata = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
    return document({"metadata": metadata, "items": list(items)})


def document(value: Any, *, code: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """One JSON document."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(value, status=code, headers=headers)

    return answer


def failure(code: int, **headers: str) -> Answer:
    """An error as the API server words it."""
    status = {"kind": "Status", "reason": "Test", "message": f"answer {code}", "code": code}
    return document(status, code=code, headers=headers)


def watch(server: Server, *events: Any, stay: bool = True) -> Answer:
    """A watch that shows events and then stays open, or is cut off in the middle of a line."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            text = json.dumps(event).encode() + b"\n"
            await response.write(text[:7])
            await response.write(text[7:])
        if stay:
            await server.cut.wait()
        else:
            await response.write(b'{"type": "ADD')
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer

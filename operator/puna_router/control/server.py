"""The control listener: what probes, the operator and Prometheus ask."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from puna_router.control.admin import Admin, AdminError
from puna_router.control.compared import Compared
from puna_router.control.controller import Controller
from puna_router.control.picker_client import picker_state
from puna_router.control.samples import read_samples
from puna_router.control.world import CONTROL_SOCKET
from puna_router.metrics import RouterMetrics
from puna_router.picker.config import STATE_SOCKET
from puna_router.series.envoy_names import ENVOY_STATS


@asynccontextmanager
async def control_server(
    host: str,
    port: int,
    *,
    controller: Controller,
    admin: Admin,
    metrics: RouterMetrics,
    sockets: Path,
    obstacle: Callable[[], str | None],
) -> AsyncIterator[None]:
    """Serve until left, also on a UNIX socket among `sockets`, for Envoy.

    `obstacle` says why the router is not ready, besides its configuration.
    """

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        problem = obstacle() or controller.obstacle
        if problem is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "not ready", "message": problem}, status=503)

    async def state(_: web.Request) -> web.Response:
        document = (await controller.state(await picker_state(picker))).to_json()
        return web.Response(text=document, content_type="application/json")

    async def series(_: web.Request) -> web.Response:
        try:
            envoys = await admin.get(f"/stats/prometheus?filter={ENVOY_STATS}")
        except AdminError:
            envoys = ""
        names = controller.served_names()
        told = compared.among(controller.all_revisions(), time.monotonic())
        try:
            counted = await read_samples(admin, told) if told else {}
        except AdminError:
            counted = {}
        body = metrics.exposition(envoys, await picker_state(picker), names, counted)
        return web.Response(body=body, headers={"content-type": metrics.TYPE})

    async def samples(request: web.Request) -> web.Response:
        endpoint = request.match_info["endpoint"]
        revisions = controller.revisions(endpoint)
        if revisions is None:
            raise web.HTTPNotFound
        try:
            found = (await read_samples(admin, {endpoint: revisions}))[endpoint]
        except AdminError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(text=found.to_json(), content_type="application/json")

    async def status(request: web.Request) -> web.Response:
        page = controller.status_page(request.match_info["endpoint"], await picker_state(picker))
        if page is None:
            raise web.HTTPNotFound
        return web.Response(text=page, content_type="application/json")

    picker, compared = sockets / STATE_SOCKET, Compared()
    application = web.Application()
    application.add_routes(
        [
            web.get("/live", live),
            web.get("/ready", ready),
            web.get("/state", state),
            web.get("/metrics", series),
            web.get("/samples/{endpoint}", samples),
            web.get("/endpoints/{endpoint}/status", status),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(sockets / CONTROL_SOCKET), shutdown_timeout=1.0).start()
        await web.TCPSite(runner, host, port, shutdown_timeout=1.0).start()
        yield
    finally:
        await runner.cleanup()

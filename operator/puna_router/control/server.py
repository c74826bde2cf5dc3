"""The control listener: what probes, the operator and Prometheus ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from puna_router.control.admin import Admin, AdminError
from puna_router.control.controller import Controller
from puna_router.metrics import ENVOY_STATS, RouterMetrics


@asynccontextmanager
async def control_server(
    host: str,
    port: int,
    *,
    controller: Controller,
    admin: Admin,
    metrics: RouterMetrics,
    obstacle: Callable[[], str | None],
) -> AsyncIterator[None]:
    """Serve until left. `obstacle` says why the router is not ready, besides its configuration."""

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        problem = obstacle() or controller.obstacle
        if problem is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "not ready", "message": problem}, status=503)

    async def state(_: web.Request) -> web.Response:
        document = (await controller.state()).to_json()
        return web.Response(text=document, content_type="application/json")

    async def series(_: web.Request) -> web.Response:
        try:
            envoys = await admin.get(f"/stats/prometheus?filter={ENVOY_STATS}")
        except AdminError:
            envoys = ""
        return web.Response(body=metrics.exposition(envoys), headers={"content-type": metrics.TYPE})

    application = web.Application()
    application.add_routes(
        [
            web.get("/live", live),
            web.get("/ready", ready),
            web.get("/state", state),
            web.get("/metrics", series),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, shutdown_timeout=1.0).start()
        yield
    finally:
        await runner.cleanup()

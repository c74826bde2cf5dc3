"""The node's HTTPS endpoint (port 10250): logs, health, Pods, resource metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from aiohttp import web

from puna_node.actor import PodActor
from puna_node.authorization import Authorizer, caller_of
from puna_node.log_files import LogQuery, read_log
from puna_node.manifest import all_containers, parse_time
from puna_node.resource_metrics import ContainerProcess, measure, resource_metrics

LIST_SECONDS: Final = 5.0
"""Time in which an agent that has just started learns which Pods it has."""


class Pods(Protocol):
    """The Pods of this node."""

    def find(self, namespace: str, name: str) -> PodActor | None:
        """Actor of a Pod by name."""

    def all(self) -> Iterable[PodActor]:
        """Every actor."""

    async def knows_all(self, seconds: float) -> bool:
        """Whether it is known within some seconds which Pods there are."""

    def is_healthy(self) -> bool:
        """Whether the agent is up to date with the API server."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def endpoint(pods: Pods, authorizer: Authorizer) -> web.Application:
    """Application that answers the API server."""

    def guarded(subresource: str, handler: Handler) -> Handler:
        async def check(request: web.Request) -> web.StreamResponse:
            transport = request.transport
            certificate = transport.get_extra_info("peercert") if transport else None
            caller = caller_of(certificate)
            if caller is None:
                raise web.HTTPUnauthorized(text="a client certificate is required\n")
            if not await authorizer.allows(caller, method=request.method, subresource=subresource):
                text = f"Forbidden (user={caller.user}, resource=nodes/{subresource})\n"
                raise web.HTTPForbidden(text=text)
            return await handler(request)

        return check

    async def healthz(_request: web.Request) -> web.StreamResponse:
        healthy = pods.is_healthy()
        return web.Response(text="ok" if healthy else "stalled", status=200 if healthy else 500)

    async def logs(request: web.Request) -> web.StreamResponse:
        return await _logs(request, pods)

    async def list_pods(_request: web.Request) -> web.StreamResponse:
        items = [actor.pod for actor in pods.all()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "items": items})

    async def metrics(_request: web.Request) -> web.StreamResponse:
        processes = [p for actor in pods.all() for p in _processes(actor)]
        text = await asyncio.to_thread(lambda: resource_metrics(measure(processes)))
        return web.Response(text=text, content_type="text/plain")

    async def unsupported(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotImplemented(text="this node runs native processes: logs only\n")

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    pod_path = "/{namespace}/{pod}"
    application.router.add_get(f"/containerLogs{pod_path}/{{container}}", guarded("log", logs))
    application.router.add_get("/pods", guarded("pods", list_pods))
    application.router.add_get("/metrics/resource", guarded("metrics", metrics))
    for kind in ("exec", "attach", "portForward"):
        application.router.add_route("*", f"/{kind}/{{tail:.*}}", guarded("proxy", unsupported))
    return application


async def _logs(request: web.Request, pods: Pods) -> web.StreamResponse:
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    container = request.match_info["container"]
    actor = pods.find(namespace, name)
    if actor is None:
        if not await pods.knows_all(LIST_SECONDS):
            raise web.HTTPServiceUnavailable(text="the agent does not know its Pods yet\n")
        actor = pods.find(namespace, name)
    if actor is None:
        raise web.HTTPNotFound(text=f'pod "{name}" not found\n')
    if all(c["name"] != container for c in all_containers(actor.pod)):
        raise web.HTTPNotFound(text=f'container "{container}" not found in pod "{name}"\n')
    previous = request.query.get("previous") == "true"
    folder = actor.attempt_folder(container, previous=previous)
    if folder is None:
        which = f'previous terminated container "{container}"' if previous else "container"
        text = f'{which} in pod "{name}" is waiting to start or not found\n'
        raise web.HTTPBadRequest(text=text)
    query = parse_query(dict(request.query), datetime.now(UTC))
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    entries = read_log(folder / "log", query, lambda: actor.is_running(container, folder))
    async for entry in entries:
        await response.write(entry)
    await response.write_eof()
    return response


def parse_query(query: dict[str, Any], now: datetime) -> LogQuery:
    """What the query string of a log request asks for."""
    since = None
    if "sinceTime" in query:
        since = parse_time(query["sinceTime"])
    elif "sinceSeconds" in query:
        since = now - timedelta(seconds=int(query["sinceSeconds"]))
    tail, limit = query.get("tailLines"), query.get("limitBytes")
    return LogQuery(
        follow=query.get("follow") == "true",
        tail_lines=None if tail is None else int(tail),
        since=since,
        timestamps=query.get("timestamps") == "true",
        limit_bytes=None if limit is None else int(limit),
    )


def _processes(actor: PodActor) -> Iterable[ContainerProcess]:
    for name, state in actor.facts.containers.items():
        if state.running is not None:
            started_at = state.running.started_at.timestamp()
            yield ContainerProcess(actor.key, name, state.running.pid, started_at)

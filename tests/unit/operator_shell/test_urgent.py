"""What is urgent in a plan is written before everything else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import aiohttp
from aiohttp import web

from puna.api.llmendpoint import LLMEndpoint
from puna.context import Context
from puna.core.keyed_queue import Key
from puna.core.plan import Manifest, Plan, Ref, key_of
from puna.endpoint.observed import ObservedEndpoint
from puna.kind import Kind
from puna.reconcile import reconcile
from puna.runtime import Runtime
from puna.settings import Settings
from puna.store import Store
from tests.factories import endpoint, observed, settings
from tests.unit.operator_shell.api_server import serving

KEY = Key("LLMEndpoint", Ref("team", "chat"))


def child(kind: str, name: str) -> Manifest:
    metadata = {"name": name, "namespace": "team", "labels": {"puna.dev/endpoint": "chat"}}
    return {
        "apiVersion": "apps/v1" if kind == "Deployment" else "v1",
        "kind": kind,
        "metadata": metadata,
    }


CHILDREN = (child("ConfigMap", "first"), child("Deployment", "server"), child("ConfigMap", "last"))


async def observe(_: Context, __: LLMEndpoint) -> ObservedEndpoint:
    return observed(children=CHILDREN)


def plan(_: LLMEndpoint, __: ObservedEndpoint, ___: Settings, ____: datetime) -> Plan[None]:
    return Plan(CHILDREN, None, urgent=frozenset({key_of(CHILDREN[-1])}))


def no_owner(_: Store, __: LLMEndpoint) -> None:
    return None


async def test_what_is_urgent_is_written_first_even_before_what_starts_pods() -> None:
    written: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method != "PATCH":
            metadata = {"resourceVersion": "1"}
            return web.json_response({"metadata": metadata, "items": []})
        written.append(request.path.rsplit("/", 1)[1])
        body: dict[str, Any] = await request.json()
        stored = {"uid": written[-1], "resourceVersion": str(len(written))}
        return web.json_response(body | {"metadata": body["metadata"] | stored})

    kind: Kind[LLMEndpoint, ObservedEndpoint, None] = Kind(
        name="LLMEndpoint",
        find=lambda *_: endpoint(),
        observe=observe,
        plan=plan,
        owner=no_owner,
        status=None,
        tell=None,
        first=frozenset({"Deployment"}),
        always=(),
        settles=lambda *_: 0.0,
    )
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        server.answers = [answer]
        context = Runtime(settings(), connection, session).context
        await reconcile(kind, KEY, context)
    assert written[:3] == ["last", "server", "first"]

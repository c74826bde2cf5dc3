"""The front's loops: router Pods to Envoy's files, claims to volumes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import aiohttp

from puna_cli.front.envoy import BOOTSTRAP, Document, bootstrap, documents
from puna_cli.front.routers import ROUTER_SELECTOR, ready_routers
from puna_cli.front.volumes import plan_volumes
from puna_cli.front.watch import Collection, follow

logger = logging.getLogger(__name__)

CONFLICT = 409
NOT_FOUND = 404
PROVISION_RETRY_SECONDS = 1.0


def publish(directory: Path, name: str, document: Document) -> None:
    """Put one of Envoy's files in place by rename; it watches the folder for that."""
    unfinished = directory / f".{name}"
    unfinished.write_text(json.dumps(document), encoding="utf-8")
    os.replace(unfinished, directory / name)  # noqa: PTH105 - the event Envoy waits for


def prepare(directory: Path, port: int, cluster: str, *, running: bool) -> None:
    """Write what Envoy starts with; one that runs keeps the routers it knows."""
    publish(directory, BOOTSTRAP, bootstrap(directory, port))
    if not running:
        for name, document in documents(cluster, directory, {}):
            publish(directory, name, document)


async def route_to_routers(session: aiohttp.ClientSession, directory: Path, cluster: str) -> None:
    """Keep Envoy's files as the ready routers are."""
    changed = asyncio.Event()
    pods = Collection("/api/v1/pods", changed, selector=ROUTER_SELECTOR)
    written: dict[str, Document] = {}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(session, pods))
        while True:
            await changed.wait()
            changed.clear()
            routers = ready_routers(pods.objects.values())
            for name, document in documents(cluster, directory, routers):
                if written.get(name) != document:
                    publish(directory, name, document)
                    written[name] = document


async def provision_volumes(session: aiohttp.ClientSession, root: Path) -> None:
    """Give each waiting claim its folder."""
    changed = asyncio.Event()
    claims = Collection("/api/v1/persistentvolumeclaims", changed)
    volumes = Collection("/api/v1/persistentvolumes", changed)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(session, claims))
        tasks.create_task(follow(session, volumes))
        while True:
            await changed.wait()
            changed.clear()
            if not (claims.synced and volumes.synced):
                continue
            plan = plan_volumes(claims.objects.values(), volumes.objects.values(), root)
            try:
                for volume in plan.create:
                    Path(volume["spec"]["hostPath"]["path"]).mkdir(parents=True, exist_ok=True)
                    await _create(session, volumes.path, volume)
                for name in plan.delete:
                    await _delete(session, f"{volumes.path}/{name}")
            except (aiohttp.ClientError, OSError) as error:
                logger.warning(f"volumes: {error}")
                await asyncio.sleep(PROVISION_RETRY_SECONDS)
                changed.set()


async def _create(session: aiohttp.ClientSession, path: str, body: Document) -> None:
    async with session.post(path, json=body, raise_for_status=False) as answer:
        if answer.status != CONFLICT:
            answer.raise_for_status()


async def _delete(session: aiohttp.ClientSession, path: str) -> None:
    async with session.delete(path, raise_for_status=False) as answer:
        if answer.status != NOT_FOUND:
            answer.raise_for_status()

"""The agent: one node, its Pods, its endpoint."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from puna_node.actor import PodActor, new_facts
from puna_node.addresses import AddressRange, can_bind, keep_range, reserve_range
from puna_node.admission import policy_of
from puna_node.api import Api, ApiError, ApiUnreachableError, PodEvent, PodList
from puna_node.authorization import Authorizer
from puna_node.certificates import server_tls
from puna_node.config import AgentConfig
from puna_node.context import Context
from puna_node.events import Events
from puna_node.folders import prepare_folders
from puna_node.host import host_facts, local_address
from puna_node.kubeconfig import load_access
from puna_node.launch import ApiEndpoint
from puna_node.manifest import Manifest, PodKey, pod_key
from puna_node.node import kubelet_version, resources
from puna_node.pod_addresses import NoAddressError, PodAddresses
from puna_node.registration import Registration
from puna_node.server import endpoint
from puna_node.shims import Shims
from puna_node.state import folder_of, pod_folders

LOG: Final = logging.getLogger(__name__)
RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 10.0
ACTOR_RETRY_SECONDS: Final = 5.0


class Agent:
    """Everything that runs while the agent runs."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._actors: dict[str, tuple[PodActor, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._registration: Registration | None = None
        self._context: Context | None = None
        self._listed = asyncio.Event()

    # What the endpoint asks

    def find(self, namespace: str, name: str) -> PodActor | None:
        """Actor of a Pod by name."""
        for actor in self.all():
            if (actor.key.namespace, actor.key.name) == (namespace, name):
                return actor
        return None

    def all(self) -> Iterable[PodActor]:
        """Every actor."""
        return [actor for actor, _ in self._actors.values()]

    async def knows_all(self, seconds: float) -> bool:
        """Whether the API server has told which Pods there are, or does so within some seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listed.wait(), seconds)
        return self._listed.is_set()

    def is_healthy(self) -> bool:
        """Whether the agent keeps its node alive in the cluster."""
        return self._registration is None or self._registration.is_alive()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; the processes of Pods go on."""
        config = self._config
        if os.getuid() == 0 and config.run_as_user is None:
            LOG.warning("processes of Pods run as root: set runAsUser, or run the agent as a user")
        access = load_access(Path(config.kubeconfig))
        folders = prepare_folders(Path(config.directory), open_to_others=config.run_as_user)
        api = Api(access)
        address = config.address or local_address(access.host, access.port)
        own_range = self._reserve(folders.directory)
        host = host_facts(folders.directory)
        context = self._context = Context(
            api=api,
            config=config,
            policy=policy_of(config),
            events=Events(api, config.node_name),
            addresses=PodAddresses(address, own_range.network if own_range else None),
            root=folders.pods,
            node_address=address,
            endpoint=ApiEndpoint(access.host, access.port),
            allocatable=resources(config, host)[1],
            shims=Shims(),
            user=config.run_as_user,
            kept=(own_range.lock,) if own_range else (),
        )
        for folder in pod_folders(folders.pods):
            stored = folder.load()
            if stored is not None:
                context.addresses.keep(stored.key.uid, stored.facts.address)
        context.shims.fill()
        runner, port = await self._serve(context, folders.directory)
        registration = Registration(api, config, host, address=address, port=port)
        self._registration = registration
        version = await self._until_answered(api.server_version())
        await self._until_registered(registration, kubelet_version(version))
        LOG.info("node %s registered, endpoint on %s:%d", config.node_name, address, port)
        tasks = [
            asyncio.create_task(work)
            for work in (
                registration.keep_lease(),
                registration.keep_status(),
                context.events.run(),
                self._watch(context),
                *((keep_range(own_range),) if own_range else ()),
            )
        ]
        ending = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ending}:
                task.result()
        finally:
            actors = [task for _, task in self._actors.values()]
            for task in (*tasks, *actors, ending):
                task.cancel()
            await asyncio.gather(*tasks, *actors, ending, return_exceptions=True)
            context.shims.close()
            await runner.cleanup()
            await api.close()

    def _reserve(self, directory: Path) -> AddressRange | None:
        if self._config.pod_network is None:
            return None
        own_range = reserve_range(self._config.pod_network, directory)
        if not can_bind(str(next(own_range.network.hosts()))):
            # macOS answers for 127.0.0.1 only.
            LOG.warning("%s cannot be bound here: Pods share the node's address", own_range.network)
            return None
        return own_range

    async def _serve(self, context: Context, directory: Path) -> tuple[web.AppRunner, int]:
        application = endpoint(self, Authorizer(context.api, self._config.node_name))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((context.node_address, self._config.port))
        tls = server_tls(self._config, context.node_address, directory)
        await web.SockSite(runner, listener, ssl_context=tls).start()
        port: int = listener.getsockname()[1]
        return runner, port

    async def _until_answered(self, first: Coroutine[Any, Any, Manifest]) -> Manifest:
        """The API server's version, however long it takes to come up."""
        assert self._context is not None  # noqa: S101 - set before
        work: Coroutine[Any, Any, Manifest] = first
        while True:
            try:
                return await work
            except (ApiError, ApiUnreachableError) as error:
                LOG.info("waiting for the API server: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            work = self._context.api.server_version()

    async def _until_registered(self, registration: Registration, version: str) -> None:
        delay = RETRY_SECONDS
        while True:
            try:
                await registration.register(version)
            except (ApiError, ApiUnreachableError) as error:
                LOG.warning("node not registered: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_RETRY_SECONDS)
            else:
                return

    async def _watch(self, context: Context) -> None:
        """Follow the Pods of this node, for ever; whatever breaks begins anew."""
        failures = 0
        while True:
            try:
                async for event in context.api.watch_pods(self._config.node_name):
                    failures = 0
                    self._take(event, context)
            except (ApiError, ApiUnreachableError) as error:
                LOG.info("watching Pods again: %s", error)
            failures += 1
            await asyncio.sleep(min(LONGEST_RETRY_SECONDS, 0.1 * 2 ** min(failures, 7)))

    def _take(self, event: PodList | PodEvent, context: Context) -> None:
        if isinstance(event, PodEvent):
            if event.kind == "DELETED":
                self._forget(pod_key(event.pod).uid)
            else:
                self._see(event.pod, context)
            return
        seen = {pod_key(pod).uid for pod in event.pods}
        for uid in set(self._actors) - seen:
            self._forget(uid)
        for pod in event.pods:
            self._see(pod, context)
        self._end_strangers(seen, context)
        self._listed.set()

    def _see(self, pod: Manifest, context: Context) -> None:
        key = pod_key(pod)
        known = self._actors.get(key.uid)
        if known is not None:
            known[0].update(pod)
            return
        folder = folder_of(context.root, key)
        stored = folder.load()
        if stored is None and (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            # It has ended and nothing of it is left here; its status stays as it is.
            if pod["metadata"].get("deletionTimestamp"):
                task = asyncio.create_task(self._remove(key, context))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        try:
            facts = (
                stored.facts if stored is not None else new_facts(pod, context, datetime.now(UTC))
            )
        except NoAddressError as error:
            LOG.error("%s: %s", key, error)  # noqa: TRY400 - a state of the node, not a fault
            return
        folder.path.mkdir(mode=0o711 if context.user else 0o700, parents=True, exist_ok=True)
        self._run(PodActor(pod, facts, folder, context), context)

    async def _remove(self, key: PodKey, context: Context) -> None:
        try:
            await context.api.delete_pod(key)
        except (ApiError, ApiUnreachableError) as error:
            LOG.warning("%s not deleted: %s", key, error)  # the next list brings it again

    def _run(self, actor: PodActor, context: Context) -> None:
        task = asyncio.create_task(actor.run(), name=str(actor.key))
        self._actors[actor.key.uid] = (actor, task)

        def done(ended: asyncio.Task[None]) -> None:
            self._actors.pop(actor.key.uid, None)
            if not ended.cancelled() and (error := ended.exception()) is not None:
                LOG.error("actor of %s failed", actor.key, exc_info=error)
                # Its processes go on; a new actor finds them.
                asyncio.get_running_loop().call_later(
                    ACTOR_RETRY_SECONDS, self._see, actor.pod, context
                )

        task.add_done_callback(done)

    def _forget(self, uid: str) -> None:
        known = self._actors.get(uid)
        if known is not None:
            known[0].forget()

    def _end_strangers(self, seen: set[str], context: Context) -> None:
        """End the processes of Pods that were deleted while no agent ran."""
        folders = {actor.folder.path for actor in self.all()}
        for folder in pod_folders(context.root):
            stored = folder.load()
            if stored is None:
                if folder.path not in folders:
                    with suppress(OSError):
                        folder.path.rmdir()  # made for a Pod that was never seen again
                continue
            uid = stored.key.uid
            if uid in seen or uid in self._actors:
                continue
            actor = PodActor(stored.pod, stored.facts, folder, context)
            actor.forget()
            self._run(actor, context)

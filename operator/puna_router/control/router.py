"""The router as it runs: beside an Envoy of its Pod, or with one of its own."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from puna_router.config import PICKER_PORT
from puna_router.control.admin import Admin
from puna_router.control.binary import picker_arguments, serve_arguments
from puna_router.control.certificate import Certificate
from puna_router.control.child_process import ChildProcess
from puna_router.control.cluster_access import Access
from puna_router.control.controller import Controller
from puna_router.control.drain import announce, drain, resume, wait_until_gone
from puna_router.control.files import Layout, bootstrapped_socket, socket_directory
from puna_router.control.hosts.service import HostsService
from puna_router.control.key_file import KeyFile
from puna_router.control.keys.meter import TokenMeter
from puna_router.control.peers import Peers
from puna_router.control.prepare import prepare
from puna_router.control.publish import Publisher
from puna_router.control.server import control_server
from puna_router.control.source import FileSource, NamespaceSource, Source
from puna_router.control.validate import Validator
from puna_router.control.world import HOSTS_SOCKET, Site
from puna_router.metrics import RouterMetrics
from puna_router.picker.config import STATE_SOCKET


@dataclass(frozen=True, slots=True)
class Settings:
    """How one router process runs."""

    control_port: int
    envoy: str
    api_key_file: Path | None
    drain_seconds: float
    concurrency: int = 2
    picker_port: int = PICKER_PORT
    certificate: tuple[Path, Path] | None = None
    """Files of the certificate that clients see, and of its key."""


class Router:
    """The parts of one router, put together."""

    def __init__(self, site: Site, settings: Settings) -> None:
        layout = Layout(Path(site.directory))
        layout.create()
        self._certificate = (
            Certificate(*settings.certificate, layout) if settings.certificate else None
        )
        prepare(site)
        self._site = site
        self._settings = settings
        self.admin = Admin(bootstrapped_socket(layout))
        self.layout = layout
        self._metrics = RouterMetrics()
        self._stop = asyncio.Event()
        self._meter = TokenMeter(self.admin, self._wake)
        self._hosts = HostsService()
        self._controller = Controller(
            site,
            publisher=Publisher(
                layout, self.admin, self._hosts, Path(site.socket_directory) / STATE_SOCKET
            ),
            admin=self.admin,
            validator=Validator(settings.envoy),
            meter=self._meter,
            metrics=self._metrics,
        )
        self.wake: Callable[[], None] = self._controller.wake

    async def run(self, source: Source) -> None:
        """Follow the source until SIGTERM or SIGINT; the way out is the caller's."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        key_file = self._key_file()

        def obstacle() -> str | None:
            if self._stop.is_set():
                return "the router is ending"
            found = (part.problem for part in (key_file, self._certificate) if part is not None)
            return next((problem for problem in found if problem is not None), None)

        self._metrics.follow_restarts(lambda: source.restarts)
        server = control_server(
            self._site.listen,
            self._settings.control_port,
            controller=self._controller,
            admin=self.admin,
            metrics=self._metrics,
            sockets=Path(self._site.socket_directory),
            obstacle=obstacle,
        )
        hosts = self._hosts.serve(Path(self._site.socket_directory) / HOSTS_SOCKET)
        async with server, hosts, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(source.run()),
                group.create_task(self._controller.run(source, key_file)),
                group.create_task(self._meter.run()),
            ]
            followed = (part for part in (key_file, self._certificate) if part is not None)
            tasks += [group.create_task(part.run()) for part in followed]
            await self._stop.wait()
            # Hosts still come and go while requests end.
            await self._end()
            for task in tasks:
                task.cancel()

    async def _end(self) -> None:
        await announce(self.admin)
        await wait_until_gone(self.admin, self._settings.drain_seconds)

    def _wake(self) -> None:
        self._controller.wake()

    def _key_file(self) -> KeyFile | None:
        path = self._settings.api_key_file
        return KeyFile(path, self.wake) if path is not None else None


class OwnEnvoyRouter(Router):
    """A router that is its Envoy's parent."""

    async def _end(self) -> None:
        await drain(self.admin, seconds=self._settings.drain_seconds, settle=0.0)


async def serve(site: Site, settings: Settings, access: Access, peers: Peers | None) -> None:
    """Follow a namespace, beside an Envoy that shares the folder."""
    router = Router(site, settings)
    await resume(router.admin)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        headers={"user-agent": "puna-router"},
    ) as session:
        namespace = str(site.namespace)
        await router.run(NamespaceSource(session, access, namespace, router.wake, peers))


async def stand_alone(path: Path, settings: Settings, directory: Path | None) -> None:
    """Follow a router file, with an Envoy and a picker of its own."""
    async with AsyncExitStack() as stack:
        if directory is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="puna-router-"))
            directory = Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        file = FileSource(path, lambda: None).file
        site = Site(
            directory=str(directory),
            listen=file.listen,
            port=file.port,
            sockets=str(socket_directory(directory)),
            encrypted=settings.certificate is not None,
        )
        router = OwnEnvoyRouter(site, settings)
        programs = {
            # First, and ended last: it lets those through that wait in it.
            "picker": picker_arguments(directory, file.listen, settings.picker_port),
            "envoy": serve_arguments(settings.envoy, router.layout.bootstrap, settings.concurrency),
        }
        children = [
            asyncio.create_task(ChildProcess(name, arguments).run())
            for name, arguments in programs.items()
        ]
        try:
            await router.run(FileSource(path, router.wake))
        finally:
            for child in reversed(children):
                child.cancel()
                await asyncio.gather(child, return_exceptions=True)

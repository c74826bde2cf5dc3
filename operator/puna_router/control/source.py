"""Where documents and backends come from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import aiohttp
from pydantic import ValidationError

from puna_router.config import (
    LABEL_ENDPOINT,
    LABEL_ROUTER_CONFIG,
    Backend,
    RouterFile,
    config_digest,
)
from puna_router.control import backends
from puna_router.control.cluster_access import Access
from puna_router.control.documents import Document, by_endpoint, from_config_map
from puna_router.control.peers import Peers, place
from puna_router.control.secret import Secret
from puna_router.control.watch import Watch

FILE_INTERVAL: Final = 0.25
"""Time between two looks at a router file, in seconds."""

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Documents and backends as they are now."""

    @property
    def restarts(self) -> int:
        """Times that following it had to start anew."""

    def documents(self) -> dict[str, Document]:
        """Newest document by endpoint."""

    def backends(self, ports: Mapping[str, int]) -> dict[str, tuple[Backend, ...]]:
        """Backends by endpoint; `ports` holds the port of each endpoint that is served."""

    def secrets(self, names: frozenset[str]) -> dict[str, Secret]:
        """Secrets by name, of those that are named from now on; no answer yet: left out."""

    def routers(self) -> tuple[int, int]:
        """How many routers share the backends, and which of them this one is, from 0."""

    async def listed(self) -> None:
        """Wait until all that exists is known."""

    async def run(self) -> None:
        """Follow changes until cancelled."""


class NamespaceSource:
    """ConfigMaps and Pods of one namespace."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        namespace: str,
        changed: Callable[[], None],
        peers: Peers | None = None,
    ) -> None:
        """Follow a namespace; `peers` says which Pods are its routers."""

        def watch(kind: str, selector: str) -> Watch:
            path = f"/api/v1/namespaces/{namespace}/{kind}"
            return Watch(session, access, path=path, selector=selector, changed=changed)

        self._parsed: dict[str, tuple[str, Document | None]] = {}
        self._config_maps = watch("configmaps", f"{LABEL_ROUTER_CONFIG}=true")
        self._pods = watch("pods", LABEL_ENDPOINT)
        self._peers = peers
        self._routers = watch("pods", peers.selector) if peers else None

    @property
    def restarts(self) -> int:
        """Times that a watch had to start anew."""
        return sum(watch.restarts for watch in self._watches())

    def documents(self) -> dict[str, Document]:
        """Newest document by endpoint; one that has not changed is the same object as before."""
        parsed = {}
        for config_map in self._config_maps.objects():
            name, version = (config_map["metadata"][key] for key in ("name", "resourceVersion"))
            before = self._parsed.get(name)
            if before is None or before[0] != version:
                before = (version, from_config_map(config_map))
            parsed[name] = before
        self._parsed = parsed
        return by_endpoint({name: document for name, (_, document) in parsed.items()})

    def backends(self, ports: Mapping[str, int]) -> dict[str, tuple[Backend, ...]]:
        """Pods that may get requests, by endpoint."""
        return backends.backends(self._pods.objects(), ports)

    def secrets(self, names: frozenset[str]) -> dict[str, Secret]:  # noqa: ARG002
        """None yet."""
        return {}

    def routers(self) -> tuple[int, int]:
        """How many routers are ready, this one included, and its place among them."""
        if self._routers is None or self._peers is None:
            return 1, 0
        return place(self._routers.objects(), self._peers.name)

    async def listed(self) -> None:
        """Wait until all lists are in."""
        for watch in self._watches():
            await watch.listed.wait()

    async def run(self) -> None:
        """Watch all kinds until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches():
                group.create_task(watch.run())

    def _watches(self) -> list[Watch]:
        found = (self._config_maps, self._pods, self._routers)
        return [watch for watch in found if watch is not None]


class FileSource:
    """One router file."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        """Read the file.

        Raises:
            OSError: It cannot be read.
            ValidationError: It is no router file.
        """
        self._path = path
        self._changed = changed
        self._text = path.read_text("utf-8")
        self.file = RouterFile.model_validate_json(self._text)

    @property
    def restarts(self) -> int:
        """None: a file is read again, and that is all."""
        return 0

    def documents(self) -> dict[str, Document]:
        """Documents of the file."""
        return {
            config.name: Document(config.name, config_digest(config.to_json()), config)
            for config in self.file.endpoints
        }

    def backends(self, ports: Mapping[str, int]) -> dict[str, tuple[Backend, ...]]:
        """Backends of the file."""
        return {name: hosts for name, hosts in self.file.backends.items() if name in ports}

    def secrets(self, names: frozenset[str]) -> dict[str, Secret]:
        """Secrets of the file."""
        return {
            name: Secret(
                name,
                {member: text.encode() for member, text in self.file.secrets[name].items()},
            )
            for name in names & self.file.secrets.keys()
        }

    def routers(self) -> tuple[int, int]:
        """One: a router on one host shares with nobody."""
        return 1, 0

    async def listed(self) -> None:
        """Return: the file has been read."""

    async def run(self) -> None:
        """Look at the file again and again, until cancelled; a bad one changes nothing."""
        while True:
            await asyncio.sleep(FILE_INTERVAL)
            try:
                text = self._path.read_text("utf-8")
                if text == self._text:
                    continue
                self._text = text
                self.file = self._checked(RouterFile.model_validate_json(text))
            except (OSError, ValidationError) as error:
                logger.error(f"{self._path} is not taken: {error}")  # noqa: TRY400
                continue
            self._changed()

    def _checked(self, file: RouterFile) -> RouterFile:
        fixed = {
            name: getattr(self.file, name)
            for name in ("listen", "port", "control_port", "picker_port", "api_key_file", "tls")
        }
        for name, value in fixed.items():
            if getattr(file, name) != value:
                logger.error(f"{self._path}: {name} takes effect when the router starts again")
        return file.model_copy(update=fixed)

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
from puna_router.control.lingering import LINGER_SECONDS, missed_since
from puna_router.control.peers import Peers, place
from puna_router.control.secret import Secret
from puna_router.control.secret_watches import SecretWatches
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

        def watch(kind: str, selector: str = "", fields: str = "") -> Watch:
            path = f"/api/v1/namespaces/{namespace}/{kind}"
            return Watch(
                session, access, path=path, selector=selector, fields=fields, changed=changed
            )

        self._changed = changed
        self._parsed: dict[str, tuple[str, Document | None]] = {}
        self._served: dict[str, Document] = {}
        self._missed: dict[str, float] = {}
        self._config_maps = watch("configmaps", f"{LABEL_ROUTER_CONFIG}=true")
        self._pods = watch("pods", LABEL_ENDPOINT)
        self._secrets = SecretWatches(
            lambda name: watch("secrets", fields=f"metadata.name={name}"), changed
        )
        self._peers = peers
        self._routers = watch("pods", peers.selector) if peers else None

    @property
    def restarts(self) -> int:
        """Times that a watch had to start anew."""
        return self._secrets.restarts + sum(watch.restarts for watch in self._watches())

    def documents(self) -> dict[str, Document]:
        """Newest document by endpoint; one that has not changed is the same object as before.

        One that has just been deleted lingers for a moment.
        """
        parsed = {}
        for config_map in self._config_maps.objects():
            name, version = (config_map["metadata"][key] for key in ("name", "resourceVersion"))
            before = self._parsed.get(name)
            if before is None or before[0] != version:
                before = (version, from_config_map(config_map))
            parsed[name] = before
        self._parsed = parsed
        present = by_endpoint({name: document for name, (_, document) in parsed.items()})
        loop = asyncio.get_running_loop()
        missed = missed_since(self._served, present, self._missed, loop.time())
        for _ in missed.keys() - self._missed.keys():
            loop.call_later(LINGER_SECONDS, self._changed)
        lingering = {name: self._served[name] for name in missed}
        self._missed, self._served = missed, dict(sorted((present | lingering).items()))
        return self._served

    def backends(self, ports: Mapping[str, int]) -> dict[str, tuple[Backend, ...]]:
        """Pods that may get requests, by endpoint."""
        return backends.backends(self._pods.objects(), ports)

    def secrets(self, names: frozenset[str]) -> dict[str, Secret]:
        """Secrets that are named, as far as something is known of them."""
        return self._secrets.follow(names)

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
        """Watch everything until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run())
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
        """Keys and Secrets of the file, as Secrets of a namespace would hold them."""
        return {name: self._secret(name) for name in names}

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

    def _secret(self, name: str) -> Secret:
        keys, members = self.file.keys.get(name), self.file.secrets.get(name)
        if keys is not None:
            return Secret(name, {member: key.to_json().encode() for member, key in keys.items()})
        if members is not None:
            return Secret(name, {member: text.encode() for member, text in members.items()})
        return Secret(name, problem=f"{self._path} has no keys or secrets of the name {name}")

    def _checked(self, file: RouterFile) -> RouterFile:
        fixed = {
            name: getattr(self.file, name)
            for name in ("listen", "port", "control_port", "picker_port", "api_key_file", "tls")
        }
        for name, value in fixed.items():
            if getattr(file, name) != value:
                logger.error(f"{self._path}: {name} takes effect when the router starts again")
        return file.model_copy(update=fixed)

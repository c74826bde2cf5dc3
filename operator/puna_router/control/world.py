"""All that a router serves, as one value: what the resources are rendered from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from puna_router.config import Backend, EndpointConfig, RevisionConfig
from puna_router.control.external import ExternalHost
from puna_router.control.health import HostKey
from puna_router.control.keys.ring import KeyRing

Resource: TypeAlias = dict[str, Any]
"""One Envoy resource in protobuf's JSON."""

HealthyHosts: TypeAlias = frozenset[HostKey]
"""Hosts that Envoy holds for healthy."""


CONTROL_SOCKET: Final = "control.sock"
"""UNIX socket in the shared folder on which the control process answers Envoy."""
HOSTS_SOCKET: Final = "hosts.sock"
"""UNIX socket in the shared folder on which the control process tells Envoy hosts."""
HEALTH_EVENTS: Final = "health.events"
"""File in the shared folder to which Envoy appends what becomes of its hosts."""
NO_REVISION: Final = RevisionConfig(name="00000000", process="00000000", weight=100)
"""What external servers serve while an endpoint has no revision of its own yet."""


@dataclass(frozen=True, slots=True)
class Host:
    """One server as a member of one cluster."""

    address: str
    port: int
    slots: int
    priority: int = 0
    name: str | None = None
    """Name of its Pod, or of the external server."""
    pool: str | None = None
    external: ExternalHost | None = None

    @property
    def joined(self) -> str:
        """Address and port as Envoy writes them."""
        return joined(self.address, self.port)

    def key(self, cluster: str) -> HostKey:
        """The host as a member of a cluster."""
        return cluster, self.address, self.port


@dataclass(frozen=True, slots=True)
class Served:
    """One endpoint and the servers behind it."""

    config: EndpointConfig
    backends: tuple[Backend, ...] = ()
    externals: tuple[ExternalHost, ...] = ()

    @property
    def revisions(self) -> tuple[RevisionConfig, ...]:
        """Revisions that have a cluster."""
        return revisions(self.config)

    def hosts(self, revision: RevisionConfig) -> tuple[Host, ...]:
        """Servers of a revision, in a stable order."""
        own = (
            Host(
                address=backend.address,
                port=backend.port,
                slots=revision.slots,
                name=backend.pod,
                pool=backend.pool,
            )
            for backend in self.backends
            if backend.process == revision.process
        )
        external = (
            Host(
                address=found.address,
                port=found.server.port,
                slots=found.slots,
                priority=found.server.priority,
                name=found.server.name,
                external=found,
            )
            for found in self.externals
        )
        return tuple(sorted((*own, *external), key=lambda host: (host.address, host.port)))

    def members(self) -> Iterator[tuple[str, Host]]:
        """Every cluster with each of its hosts."""
        for revision in self.revisions:
            for host in self.hosts(revision):
                yield cluster_name(self.config.name, revision.name), host


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a snapshot depends on, besides the site it is rendered for."""

    endpoints: tuple[Served, ...] = ()
    api_key: str | None = None
    """Key that the backends require."""
    healthy: HealthyHosts = frozenset()
    keys: Mapping[str, KeyRing] = field(default_factory=dict)
    """API keys by the name of their Secret."""
    routers: int = 1
    """Ready routers of the namespace, which share slots and limits."""
    router: int = 0
    """Which of them this one is, from 0."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one router runs; never changes while it does."""

    directory: str
    """Folder of the xDS files and of the admin socket."""
    listen: str
    """Address of Envoy's listener for clients."""
    port: int
    namespace: str | None = None
    """Namespace whose Services name endpoints; None outside Kubernetes."""
    sockets: str = ""
    """Folder by which UNIX sockets are reached, if it is not `directory`."""
    encrypted: bool = False
    """Whether clients have to speak TLS."""

    @property
    def socket_directory(self) -> str:
        """Folder by which UNIX sockets are reached."""
        return self.sockets or self.directory


def joined(address: str, port: int) -> str:
    """Address and port as Envoy writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def shadowed(config: EndpointConfig) -> RevisionConfig | None:
    """The revision that copies of an endpoint's requests go to, if any do."""
    if config.shadow is None:
        return None
    wanted = config.shadow.revision
    return next((revision for revision in config.revisions if revision.name == wanted), None)


def revisions(config: EndpointConfig) -> tuple[RevisionConfig, ...]:
    """Revisions of a document that have a cluster."""
    return config.revisions or ((NO_REVISION,) if config.external else ())


def cluster_name(endpoint: str, revision: str) -> str:
    """Name of the Envoy cluster of one revision."""
    return f"{endpoint}-{revision}"

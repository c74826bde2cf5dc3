"""All that a router serves, as one value: what the resources are rendered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from puna_router.config import Backend, EndpointConfig, RevisionConfig
from puna_router.control.keys.ring import KeyRing

Resource: TypeAlias = dict[str, Any]
"""One Envoy resource in protobuf's JSON."""

HealthyHosts: TypeAlias = frozenset[tuple[str, str, int]]
"""Cluster, address and port of each host that Envoy holds for healthy."""


@dataclass(frozen=True, slots=True)
class Served:
    """One endpoint and the backends behind it."""

    config: EndpointConfig
    backends: tuple[Backend, ...] = ()

    def hosts(self, revision: RevisionConfig) -> tuple[Backend, ...]:
        """Backends of a revision, in a stable order."""
        found = (backend for backend in self.backends if backend.process == revision.process)
        return tuple(sorted(found, key=lambda backend: (backend.address, backend.port)))


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
    """Routers that share the keys' limits."""


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


def cluster_name(endpoint: str, revision: str) -> str:
    """Name of the Envoy cluster of one revision."""
    return f"{endpoint}-{revision}"

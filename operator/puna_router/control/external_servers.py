"""External servers of all endpoints, with what is known of their names and Secrets now."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from puna_router.config import EndpointConfig
from puna_router.control.external import (
    ExternalHost,
    SecretData,
    UnusableExternalError,
    external_hosts,
    location,
)
from puna_router.control.names import Names

logger = logging.getLogger(__name__)


class ExternalServers:
    """Hosts of external servers; says why one is not used."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.problems: dict[tuple[str, str], str] = {}
        """Why a server gets no requests, by endpoint and server."""

    def hosts(
        self, configs: Iterable[EndpointConfig], secrets: SecretData
    ) -> dict[str, tuple[ExternalHost, ...]]:
        """Hosts by endpoint."""
        problems: dict[tuple[str, str], str] = {}
        found: dict[str, tuple[ExternalHost, ...]] = {}
        names: set[str] = set()
        for config in configs:
            hosts: list[ExternalHost] = []
            for external in config.external:
                try:
                    host = location(external.url).host
                    names.add(host)
                    hosts += external_hosts(external, self._names.addresses(host), secrets)
                except UnusableExternalError as error:
                    problems[config.name, external.name] = str(error)
            if hosts:
                found[config.name] = tuple(hosts)
        self._names.follow(names)
        for place, problem in problems.items():
            if self.problems.get(place) != problem:
                logger.warning(f"external server {place[1]} of {place[0]} is not used: {problem}")
        self.problems = problems
        return found

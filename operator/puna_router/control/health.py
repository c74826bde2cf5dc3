"""What Envoy thinks of each host, from a look at all of them and from the events since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

HostKey: TypeAlias = tuple[str, str, int]
"""Cluster, address and port."""

CHECKED: Final = "checked"
EJECTED: Final = "ejected"

_CHECKS: Final = {
    "add_healthy_event": True,
    "eject_unhealthy_event": False,
    "health_check_failure_event": False,
}
"""Events of health checks, and whether the host passes them afterwards."""


class HostHealth(NamedTuple):
    """Both reasons for which Envoy leaves a host out."""

    passes: bool
    """It passes its health check."""
    ejected: bool = False
    """It refused connections, and is left out for a while."""

    @property
    def usable(self) -> bool:
        """Whether Envoy sends requests there."""
        return self.passes and not self.ejected


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """One line of what Envoy writes about its hosts."""

    host: HostKey
    passes: bool | None = None
    ejected: bool | None = None


@dataclass(slots=True)
class HealthView:
    """Health of the hosts that have been looked at; of the others nothing is known yet."""

    _hosts: dict[HostKey, HostHealth] = field(default_factory=dict)

    def replace(self, hosts: Mapping[HostKey, HostHealth]) -> bool:
        """Take a look at all hosts. Say whether anything has changed."""
        changed = hosts != self._hosts
        self._hosts = dict(hosts)
        return changed

    def apply(self, events: Iterable[HealthEvent]) -> bool:
        """Take events in their order. Say whether anything has changed."""
        changed = False
        for event in events:
            before = self._hosts.get(event.host)
            passes = event.passes if event.passes is not None else bool(before and before.passes)
            ejected = (
                event.ejected if event.ejected is not None else bool(before and before.ejected)
            )
            after = HostHealth(passes, ejected)
            changed = changed or after != before
            self._hosts[event.host] = after
        return changed

    def keep(self, hosts: frozenset[HostKey]) -> None:
        """Forget all other hosts."""
        self._hosts = {host: health for host, health in self._hosts.items() if host in hosts}

    def known(self) -> frozenset[HostKey]:
        """Hosts of which something is known."""
        return frozenset(self._hosts)

    def usable(self) -> frozenset[HostKey]:
        """Hosts that Envoy sends requests to."""
        return frozenset(host for host, health in self._hosts.items() if health.usable)


def parse_event(line: str) -> HealthEvent | None:
    """The event in a line; None for lines that change nothing."""
    try:
        event = json.loads(line)
        if "health_checker_type" in event:
            return _of_check(event)
        if "upstream_url" in event:
            return _of_ejection(event)
    except (ValueError, KeyError, TypeError):
        return None
    return None


def _of_check(event: dict[str, Any]) -> HealthEvent | None:
    passes = next((passes for name, passes in _CHECKS.items() if name in event), None)
    if passes is None:
        return None
    address = event["host"]["socket_address"]
    host = (event["cluster_name"], address["address"], int(address["port_value"]))
    return HealthEvent(host, passes=passes)


def _of_ejection(event: dict[str, Any]) -> HealthEvent | None:
    if event["action"] == "EJECT" and event.get("enforced") not in {True, "true"}:
        return None
    address, _, port = event["upstream_url"].rpartition(":")
    host = (event["cluster_name"], address.strip("[]"), int(port))
    return HealthEvent(host, ejected=event["action"] == "EJECT")

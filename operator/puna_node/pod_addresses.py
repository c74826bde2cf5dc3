"""Addresses given to Pods."""

from __future__ import annotations

import ipaddress

from puna_node.addresses import next_address


class NoAddressError(Exception):
    """Every address of the node's range is in use."""


class PodAddresses:
    """Gives each Pod an address of its own, or all of them the node's where it has no range."""

    def __init__(self, node_address: str, network: ipaddress.IPv4Network | None) -> None:
        self._node_address, self._network = node_address, network
        self._used: dict[str, str] = {}
        self._last: str | None = None

    def take(self, uid: str, *, host_network: bool) -> str:
        """Address of a new Pod.

        Raises:
            NoAddressError: none is left.
        """
        if self._network is None or host_network:
            return self._node_address
        address = next_address(self._network, set(self._used.values()), self._last)
        if address is None:
            raise NoAddressError(f"no free address in {self._network}")
        self._last = self._used[uid] = address
        return address

    def keep(self, uid: str, address: str) -> None:
        """Remember the address of a Pod from before."""
        if self._network is not None and ipaddress.IPv4Address(address) in self._network:
            self._used[uid] = address
            self._last = address

    def free(self, uid: str) -> None:
        """Give an address back."""
        self._used.pop(uid, None)

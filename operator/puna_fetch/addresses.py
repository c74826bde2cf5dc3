"""Which addresses a fetch may connect to: public ones, and what the allowlist names. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64: the last 32 bits are an IPv4 address
_METADATA = {
    # Azure's platform address answers inside every virtual machine, yet lies in a public range.
    ip_network("168.63.129.16/32"),
}
# Not public, whatever the Python release's own table says of them.
_SPECIAL = {
    ip_network("100.64.0.0/10"),
    ip_network("192.0.0.0/24"),
    ip_network("192.88.99.0/24"),
    ip_network("198.18.0.0/15"),
    ip_network("240.0.0.0/4"),
    ip_network("64:ff9b:1::/48"),
    ip_network("fec0::/10"),
}


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks in CIDR notation.

    Raises:
        ValueError: one of them is no network; names it.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ValueError(f"allowed network: {error}") from error
    return tuple(networks)


def refusal(address: str, allowed: Iterable[Network]) -> str | None:
    """Why the address must not be connected to, or None if it may."""
    literal = ip_address(address.partition("%")[0])
    # An IPv4 address inside an IPv6 one is reached as itself.
    reached = _embedded(literal) or literal
    if any(reached in network or literal in network for network in allowed):
        return None
    kind = _kind(reached)
    return f"{reached} is {kind}" if kind else None


def _kind(address: Address) -> str | None:
    kinds = (
        (any(address in network for network in _METADATA), "a metadata address"),
        (address.is_unspecified, "the unspecified address"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (any(address in network for network in _SPECIAL), "no public address"),
        (address.is_private, "a private address"),
        (not address.is_global, "no public address"),
    )
    return next((kind for holds, kind in kinds if holds), None)


def _embedded(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    # The deprecated IPv4-compatible form ::a.b.c.d, without :: and ::1.
    compatible = int(address) if 0xFFFF < int(address) <= 0xFFFFFFFF else None  # noqa: PLR2004
    return (
        address.ipv4_mapped
        or address.sixtofour
        or (teredo[1] if teredo else None)
        or (IPv4Address(compatible) if compatible else None)
    )

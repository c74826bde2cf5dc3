"""Which addresses an external server may have: public ones, and what its document allows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""NAT64: the last 32 bits are an IPv4 address."""
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's platform, inside every virtual machine
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "fec0::/10",
    )
)
"""Not public, whatever the Python release's own table says of them."""


def is_allowed(text: str, networks: Iterable[str]) -> bool:
    """Whether an address is public, or lies in one of the networks (CIDR)."""
    literal = ip_address(text.partition("%")[0])
    # An IPv4 address inside an IPv6 one is reached as itself.
    reached = _embedded(literal) or literal
    return _is_public(reached) or any(
        address in ip_network(network) for network in networks for address in (literal, reached)
    )


def _is_public(address: Address) -> bool:
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _embedded(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)

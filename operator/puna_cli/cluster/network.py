"""The Pod network of a cluster: a /24 of 127.77.0.0/16 that no other cluster of this host has.

A network is reserved by a UDP socket bound to its last address. The reservation lives where the
addresses live (in the kernel's network namespace, across users), and ends with the last process
that holds the socket: the node agent.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Final, TypeVar

from puna_cli.errors import CommandError

T = TypeVar("T")

RESERVATION_PORT: Final = 10250
NETWORKS: Final = range(256)


def has_pod_networks(platform: str = sys.platform) -> bool:
    """Whether every address of 127.0.0.0/8 can be bound without configuration."""
    return platform.startswith("linux")


def choose_network(preferred: int | None, reserve: Callable[[int], T | None]) -> tuple[int, T]:
    """The preferred network if `reserve` gives it, else the first that it gives.

    Raises:
        CommandError: all are taken.
    """
    order = ([] if preferred is None else [preferred]) + [n for n in NETWORKS if n != preferred]
    for network in order:
        reservation = reserve(network)
        if reservation is not None:
            return network, reservation
    raise CommandError("all 256 Pod networks of 127.77.0.0/16 are in use: end another cluster")


def reserve_network(network: int) -> socket.socket | None:
    """A socket that holds the network, or None while another process does."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        reservation.bind((f"127.77.{network}.255", RESERVATION_PORT))
    except OSError:
        reservation.close()
        return None
    return reservation

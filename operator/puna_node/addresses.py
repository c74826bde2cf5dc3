"""Addresses of Pods: each its own loopback address, in a range that no other agent uses."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCKS: Final = Path("/tmp")  # noqa: S108 - where every cluster of this host looks
TAKE_OVER_SECONDS: Final = 5.0
RANGE_PREFIX: Final = 24
"""Size of the range that one agent takes out of a larger network."""


class NoFreeRangeError(Exception):
    """Every range of the network is in use by another agent of this host."""


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A range of loopback addresses and the descriptor of the lock that reserves it."""

    network: ipaddress.IPv4Network
    lock: int


def reserve_range(network: str, owner: Path) -> AddressRange:
    """Reserve a range of the network for the agent whose folder is `owner`.

    Shims inherit the lock: a range stays reserved as long as a process uses it, and its own agent
    finds it by the name in it.

    Raises:
        NoFreeRangeError: all are taken, or the folder of the locks is somebody else's.
    """
    folder = LOCKS / f"puna-addresses-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise NoFreeRangeError(f"{folder} is not a folder of this user")
    ranges = list(candidate_ranges(network))
    # The range of the last time first: adopted Pods have addresses of it.
    for candidate in sorted(ranges, key=lambda r: _owner(_lock_path(folder, r)) != str(owner)):
        path = _lock_path(folder, candidate)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _owner(path) != str(owner):
                os.close(descriptor)
                continue
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(owner).encode(), 0)
        return AddressRange(candidate, descriptor)
    raise NoFreeRangeError(f"every range of {network} is in use by another agent on this host")


async def keep_range(own: AddressRange) -> None:
    """Take the lock over from the processes of an earlier agent, once they have ended."""
    while True:
        try:
            fcntl.flock(own.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(TAKE_OVER_SECONDS)
        else:
            await asyncio.Event().wait()


def candidate_ranges(network: str) -> Iterator[ipaddress.IPv4Network]:
    """Ranges that an agent may take from a network: all of it if small, else parts of 256."""
    whole = ipaddress.IPv4Network(network)
    if whole.prefixlen >= RANGE_PREFIX:
        yield whole
    else:
        yield from whole.subnets(new_prefix=RANGE_PREFIX)


def next_address(
    network: ipaddress.IPv4Network, used: Collection[str], last: str | None
) -> str | None:
    """A free address after the last one given, so that a freed one rests as long as possible."""
    hosts = [str(host) for host in network.hosts()]
    start = hosts.index(last) + 1 if last in hosts else 0
    return next((host for host in hosts[start:] + hosts[:start] if host not in used), None)


def can_bind(address: str, port: int = 0) -> bool:
    """Whether a TCP server could listen there now."""
    return bind_problem(address, port) is None


def bind_problem(address: str, port: int) -> OSError | None:
    """What stands against listening there; None if nothing does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            if port:
                probe.listen(1)
        except OSError as error:
            return error
    return None


def _lock_path(folder: Path, network: ipaddress.IPv4Network) -> Path:
    return folder / str(network).replace("/", "_")


def _owner(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None

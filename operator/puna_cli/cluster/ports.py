"""Free ports of 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable
from typing import Final

from puna_cli.cluster.state import Ports
from puna_cli.errors import CommandError

INTERNAL: Final = range(13000, 18000)
"""Ports of the cluster's own processes: below those that kernels take for outgoing connections,
and none of llama-server's."""
FRONT: Final = range(18080, 18180)
"""Ports that the front tries, one after the other."""


def choose(candidates: Iterable[int], count: int, is_free: Callable[[int], bool]) -> list[int]:
    """The first `count` free ports.

    Raises:
        CommandError: there are fewer.
    """
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            break
        if is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise CommandError("too few free ports on 127.0.0.1")
    return chosen


def choose_ports(
    is_free: Callable[[int], bool], shuffled: Iterable[int], front: int | None = None
) -> Ports:
    """Ports of a new cluster; all but the front's come from `shuffled`.

    Raises:
        CommandError: the port asked for is taken, or too few are free.
    """
    etcd, peer, api, agent, operator = choose(shuffled, 5, is_free)
    return Ports(
        etcd=etcd,
        etcd_peer=peer,
        api=api,
        agent=agent,
        operator=operator,
        front=choose_front(is_free, front),
    )


def choose_front(
    is_free: Callable[[int], bool], asked: int | None, remembered: int | None = None
) -> int:
    """Port of the front: as asked for, else the remembered one, else the first free of its range.

    Raises:
        CommandError: the port asked for is taken.
    """
    if asked is not None:
        if not is_free(asked):
            raise CommandError(
                f"--port {asked}: another process has this port of 127.0.0.1; "
                "name another, or none to take a free one"
            )
        return asked
    if remembered is not None and is_free(remembered):
        return remembered
    return choose(FRONT, 1, is_free)[0]


def shuffled_ports() -> list[int]:
    """The internal range in random order: two clusters that start at once rarely meet."""
    return secrets.SystemRandom().sample(INTERNAL, len(INTERNAL))


def port_is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: closed connections of a former server do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True

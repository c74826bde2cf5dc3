"""Which ports of 127.0.0.1 a cluster takes. Pure: what is free is asked of an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from zlib import crc32

from puna_cli.cluster.state import Ports
from puna_cli.errors import CommandError

INTERNAL: Final = range(13000, 18000)
"""Ports of the cluster's own processes: below those that kernels take for outgoing connections,
and none of llama-server's."""
FRONT: Final = range(18080, 18180)
"""Ports that the front tries, one after the other."""
DEFAULT_NAME: Final = "puna"
"""Name of the cluster of a user who names none."""


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
    is_free: Callable[[int], bool],
    shuffled: Iterable[int],
    front: int | None = None,
    *,
    name: str = DEFAULT_NAME,
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
        front=choose_front(is_free, front, name=name),
    )


def choose_front(
    is_free: Callable[[int], bool],
    asked: int | None,
    remembered: int | None = None,
    *,
    name: str = DEFAULT_NAME,
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
    return choose(front_candidates(name), 1, is_free)[0]


def front_candidates(name: str) -> list[int]:
    """Ports for the front in the order in which a cluster tries them.

    The default cluster begins with the first one; others begin elsewhere, since two that start at
    the same time would both find the same port free.
    """
    first = 0 if name == DEFAULT_NAME else crc32(name.encode()) % len(FRONT)
    return [*FRONT[first:], *FRONT[:first]]

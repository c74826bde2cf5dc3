"""Free ports of 127.0.0.1, as this machine has them."""

from __future__ import annotations

import secrets
import socket

from puna_cli.cluster.ports import INTERNAL


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

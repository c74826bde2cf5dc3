"""Ports for servers that a test starts."""

from __future__ import annotations

import secrets
import socket
from typing import Final

RANGE: Final = range(61000, 65536)
"""Above what Linux gives to connections (32768 to 60999): one of those would hold a port against a
server that is to listen there a moment later, for as long as it lasts."""
_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens, and which no other call in this process has given."""
    while True:
        port = secrets.choice(RANGE)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True

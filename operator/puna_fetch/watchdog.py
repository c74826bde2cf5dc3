"""A bound on silence: cuts a connection on which too little arrives, however it trickles."""

from __future__ import annotations

import contextlib
import socket
import threading

MINIMUM_RATE = 1024
"""Bytes a second, averaged over the window, that count as moving."""


class Watchdog:
    """Watches one connection from its own thread until stopped.

    A socket's timeout bounds a single read only: a source that sends a byte a minute passes it for
    ever.
    """

    def __init__(self, connection: socket.socket, window: float) -> None:
        self._connection = connection
        self._window = window
        self._stopped = threading.Event()
        self._received = 0
        self.has_cut = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def receive(self, count: int) -> None:
        """Note the arrival of so many bytes."""
        self._received += count

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        seen = 0
        while not self._stopped.wait(self._window):
            received = self._received
            if received - seen < MINIMUM_RATE * self._window:
                self.has_cut = True
                # The plain socket's method: that of a TLS socket would pull state from under a
                # read.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
                return
            seen = received

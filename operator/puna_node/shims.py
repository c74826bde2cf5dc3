"""Shims that wait for work, so that a container starts without the start of an interpreter."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = Path(__file__).with_name("shim.py")
KEPT_READY: Final = 2
REFILL_SECONDS: Final = 0.3
"""A container that starts needs the processor more than the next shim does."""
ANSWER_SECONDS: Final = 20.0
FIRST_BYTES: Final = 32768
"""What surely fits into the buffer of a socket nobody has written to."""


class ShimError(Exception):
    """A shim could not be started or did not answer."""


@dataclass(frozen=True, slots=True)
class Shim:
    """A shim that waits, and the agent's end of its socket."""

    pid: int
    connection: socket.socket


class Shims:
    """A few shims that wait; they end with the agent."""

    def __init__(self) -> None:
        self._ready: deque[Shim] = deque()
        self._refill: asyncio.TimerHandle | None = None

    def fill(self) -> None:
        """Start what is missing."""
        self._refill = None
        while len(self._ready) < KEPT_READY:
            self._ready.append(spawn())

    def take(self) -> Shim:
        """A shim for one attempt.

        Raises:
            ShimError: none could be started.
        """
        if self._refill is None:
            self._refill = asyncio.get_running_loop().call_later(REFILL_SECONDS, self.fill)
        return self._ready.popleft() if self._ready else spawn()

    def close(self) -> None:
        """Let those that wait go, and reap them: a container's first process may reap nobody."""
        if self._refill is not None:
            self._refill.cancel()
        for shim in self._ready:
            shim.connection.close()
        for shim in self._ready:
            with suppress(ChildProcessError):
                os.waitpid(shim.pid, 0)
        self._ready.clear()


def spawn() -> Shim:
    """Start a shim.

    Raises:
        ShimError: the system refused.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"LANG": "C.UTF-8"},
            )
        except OSError as error:
            ours.close()
            raise ShimError(f"cannot start processes: {error}") from error
    # Its end is noticed and reaped elsewhere; Popen would warn that nobody did.
    process.returncode = 0
    ours.setblocking(False)  # noqa: FBT003
    return Shim(process.pid, ours)


async def order(
    shim: Shim, specification: dict[str, Any], descriptors: Sequence[int]
) -> dict[str, Any]:
    """Hand a shim its specification and locks; returns its answer.

    Raises:
        ShimError: it ended, or did not answer in time.
    """
    loop = asyncio.get_running_loop()
    data = json.dumps(specification).encode()
    with shim.connection as connection:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                sent = socket.send_fds(connection, [data[:FIRST_BYTES]], descriptors)
                await loop.sock_sendall(connection, data[sent:])
                connection.shutdown(socket.SHUT_WR)
                line = b""
                while not line.endswith(b"\n"):
                    part = await loop.sock_recv(connection, FIRST_BYTES)
                    if not part:
                        raise ShimError("the shim ended before it started anything")
                    line += part
        except TimeoutError as error:
            text = f"the shim did not answer within {ANSWER_SECONDS:.0f} s"
            raise ShimError(text) from error
        except OSError as error:
            raise ShimError(f"the shim ended before it started anything: {error}") from error
    answer: dict[str, Any] = json.loads(line)
    return answer

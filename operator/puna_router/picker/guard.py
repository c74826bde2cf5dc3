"""A guard before the picker: whenever one dies or hangs it starts another one.

A container that ends makes its Pod unready, while a router without a picker still serves. So the
process that the container is about is this one, and there is a picker again within milliseconds,
because it is forked from here with everything imported.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PACE: Final = 1.0
"""Time between two questions whether the picker lives, in seconds."""
PATIENCE: Final = 2.0
"""Longest answer, in seconds."""
STRIKES: Final = 3
"""Answers in a row that are missing or bad and end a picker."""
START: Final = 5.0
"""Time after its start for which a picker is not asked, in seconds."""
PAUSES: Final = (0.0, 0.0, 0.5, 2.0, 5.0)
"""Pauses before another one is started, in seconds, by how many died early; the last one stays."""
STEADY: Final = 30.0
"""After a picker that lived as long, in seconds, the pauses begin anew."""

_QUESTION: Final = b"GET /live HTTP/1.1\r\nhost: picker\r\n\r\n"
_GOOD: Final = b"HTTP/1.1 200 "

logger = logging.getLogger(__name__)


class Guard:
    """Keeps one picker running until it is told to end, or its own parent is gone."""

    def __init__(self, run: Callable[[], int], pages: Path) -> None:
        """Run pickers by `run`; `pages` is the socket on which one answers."""
        self._run = run
        self._pages = pages
        self._parent = os.getppid()
        self._ending = False

    def run(self) -> int:
        """Start pickers until SIGTERM or SIGINT, and say the last one's exit status."""
        news, written = os.pipe()
        os.set_blocking(written, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        failures = 0
        while True:
            began = time.monotonic()
            status = self._watch(self._fork(written), news)
            if self._unwanted:
                return status
            failures = 0 if time.monotonic() - began > STEADY else failures + 1
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            logger.error(f"the picker ended with {status}; another one in {pause:g} s")
            _sleep(news, pause)
            if self._unwanted:
                return 0

    @property
    def _unwanted(self) -> bool:
        """Whether nobody needs a picker any more."""
        return self._ending or os.getppid() != self._parent

    def _fork(self, news: int) -> int:
        """Process of another picker; `news` is where signals are noted in this one."""
        # In the picker they are the event loop's.
        signal.set_wakeup_fd(-1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = self._run()
            except Exception:
                logger.exception("the picker failed")
            finally:
                os._exit(status)
        signal.set_wakeup_fd(news)
        return child

    def _end(self, *_: object) -> None:
        self._ending = True

    def _watch(self, child: int, news: int) -> int:
        """Wait for a picker's end, or bring it about; returns its exit status."""
        began, strikes, told = time.monotonic(), 0, False
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if self._unwanted and not told:
                os.kill(child, signal.SIGTERM)
                told = True
            elif told:
                if self._hangs():
                    os.kill(child, signal.SIGKILL)
            elif time.monotonic() - began > START:
                strikes = 0 if self._lives() else strikes + 1
                if strikes == STRIKES:
                    logger.error("the picker does not get on: it is ended")
                    os.kill(child, signal.SIGKILL)
            _sleep(news, PACE)

    def _hangs(self) -> bool:
        """Whether it has its sockets still and does not answer: it will not end by itself."""
        try:
            _asked(self._pages)
        except TimeoutError:
            return True
        except OSError:
            return False
        return False

    def _lives(self) -> bool:
        try:
            return _asked(self._pages).startswith(_GOOD)
        except OSError:
            return False


def _sleep(news: int, seconds: float) -> None:
    """Wait for a signal, or for the time to be over."""
    readable, _, _ = select.select([news], [], [], seconds)
    if readable:
        os.read(news, 4096)


def _asked(path: Path) -> bytes:
    """Beginning of the answer, from a socket that may lie deeper than its address is long."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path.name)
            connection.sendall(_QUESTION)
            return connection.recv(len(_GOOD))
    finally:
        os.fchdir(here)
        os.close(here)

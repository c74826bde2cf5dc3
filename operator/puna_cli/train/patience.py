"""Patience with a cluster that does not answer for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from puna_cli.kubectl import KubectlError

WAIT_SECONDS: Final = 1.0
ReadT = TypeVar("ReadT")


class Patience:
    """Asks again what kubectl did not answer, and says once why it waits."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = ""

    def ask(self, read: Callable[[], ReadT]) -> ReadT:
        """What is read, as soon as it can be."""
        while True:
            try:
                return read()
            except KubectlError as problem:
                self.wait(problem)

    def wait(self, problem: KubectlError | None = None) -> None:
        """Wait before the next question."""
        if problem is not None and str(problem) != self._told:
            self._told = str(problem)
            self._tell(f"{problem}; asking again")
        time.sleep(WAIT_SECONDS)

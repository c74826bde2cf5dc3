"""The signal to stop: SIGTERM sets a flag, and whoever works looks at it where work is saved.

In a loop of training the flag is all that happens: the loop saves at its next step and raises
`Interrupted`. Work that only has to be left (a download, an export) runs `at_once`, and is left
wherever it is.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from puna_trainer.errors import Interrupted

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""A second SIGINT interrupts as usual: at a terminal nobody waits for a save that hangs."""


class StopSignal:
    """Whether the run was asked to end."""

    def __init__(self) -> None:
        self.requested = False
        """Whether it was."""
        self.requested_at: float | None = None
        """When it was, by the monotonic clock."""
        self._at_once = False

    def listen(self) -> None:
        """Hear the signals of this process from now on."""
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def check(self) -> None:
        """Leave if the run was asked to end.

        Raises:
            Interrupted: it was.
        """
        if self.requested:
            raise Interrupted

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave the work of this context wherever it is, as soon as the signal comes."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.requested = True
        self.requested_at = self.requested_at or time.monotonic()
        if self._at_once:
            self._at_once = False
            raise Interrupted

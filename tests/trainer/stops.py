"""Signals that come while something that looks for them is under way."""

from __future__ import annotations

from puna_trainer.stop import StopSignal


class StopAfter(StopSignal):
    """A signal that comes after some looks whether it has come."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def __getattribute__(self, name: str) -> object:
        if name == "requested":
            self._looks -= 1
            return self._looks < 0
        return super().__getattribute__(name)

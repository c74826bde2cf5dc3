"""Compared: which endpoints' samples Prometheus is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TOLD_SECONDS: Final = 3600.0
"""Time for which an endpoint is told on that has one revision again: an operator may be killed
after it took a canary's requests away, and before it noted why."""


class Compared:
    """Endpoints that have several revisions, or had not long ago."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def among(
        self, served: Mapping[str, tuple[str, ...]], now: float
    ) -> dict[str, tuple[str, ...]]:
        """Those of all that are served, with the names of their revisions, at a time in seconds."""
        self._seen |= {name: now for name, revisions in served.items() if len(revisions) > 1}
        self._seen = {
            name: at
            for name, at in self._seen.items()
            if name in served and now - at <= TOLD_SECONDS
        }
        return {name: served[name] for name in self._seen}

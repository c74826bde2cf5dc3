"""Progress lines: what a fetch has done so far, at most one line a second."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from puna_fetch.reasons import FetchStage

_INTERVAL = 1.0
_SAMPLES = 10
_LONGEST_MESSAGE = 500


class _State(NamedTuple):
    stage: FetchStage
    completed: int
    total: int | None
    message: str | None


class Reporter:
    """Writes the state of a fetch as JSON lines: at once, then once a second, and the last."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._write = write
        self._clock = clock
        self._on_line: Callable[[], None] | None = None
        self._pending: _State | None = None
        self._latest: _State | None = None
        self._written_at = float("-inf")
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    @contextmanager
    def telling(self, on_line: Callable[[], None]) -> Iterator[None]:
        """Call `on_line` with every line: how the holder of a lock shows that it is alive."""
        self._on_line = on_line
        try:
            yield
        finally:
            self._on_line = None

    def report(
        self, stage: FetchStage, completed: int, total: int | None, message: str | None = None
    ) -> None:
        """Note the state; write it if a second has passed since the last line."""
        state = _State(stage, completed, total, message)
        if self._latest is None or state.stage != self._latest.stage:
            self._samples.clear()
        self._latest = self._pending = state
        if self._clock() - self._written_at >= _INTERVAL:
            self.finish()

    def finish(self) -> None:
        """Write the latest state if it was not written yet."""
        if self._pending is None:
            return
        now, state = self._clock(), self._pending
        self._pending = None
        self._written_at = now
        if self._samples and state.completed < self._samples[-1][1]:
            self._samples.clear()  # started over
        self._samples.append((now, state.completed))
        self._write(_line(state, rate(self._samples)))
        if self._on_line:
            self._on_line()


def rate(samples: deque[tuple[float, int]]) -> float | None:
    """Bytes a second over the samples (time, bytes so far); None while that cannot be said."""
    if not samples or samples[-1][0] <= samples[0][0]:
        return None
    (start, first), (end, last) = samples[0], samples[-1]
    return (last - first) / (end - start)


def _line(state: _State, bytes_per_second: float | None) -> str:
    document: dict[str, object] = {"stage": state.stage, "completedBytes": state.completed}
    if state.total is not None:
        document["totalBytes"] = state.total
    if bytes_per_second is not None:
        document["bytesPerSecond"] = round(bytes_per_second, 1)
    if state.message is not None:
        document["message"] = state.message[:_LONGEST_MESSAGE]
    return json.dumps(document)

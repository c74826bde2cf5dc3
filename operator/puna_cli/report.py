"""What a command tells while it works: steps with their times, on a terminal or in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

LOG_INTERVAL = 15.0
"""Seconds between two lines of one step where the output is no terminal."""


class Step:
    """A running step; `note` says what it is doing."""

    def __init__(self, console: Console, title: str) -> None:
        self.title = title
        self.result = ""
        self._console = console
        self._started = time.monotonic()
        self._last_line = self._started
        self._status = console.status(title) if console.is_terminal else None

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def note(self, text: str) -> None:
        """Show what is being done, with the seconds so far."""
        line = f"{self.title}: {text} ({self.seconds:.0f} s)"
        if self._status is not None:
            self._status.update(line)
        elif time.monotonic() - self._last_line >= LOG_INTERVAL:
            self._last_line = time.monotonic()
            self._console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _shown(self) -> Iterator[None]:
        if self._status is None:
            yield
            return
        with self._status:
            yield


class Report:
    """Prints each step when it ends, with its time."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.times: list[tuple[str, float]] = []
        self._waiting = ""

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run a block as one step; a step that raises is shown as failed."""
        step = Step(self.console, title)
        try:
            with step._shown():  # noqa: SLF001 - one module, one idea
                yield step
        except BaseException:
            self.line(f"[red]failed[/red] {title} [dim]after {step.seconds:.1f} s[/dim]")
            raise
        self.times.append((title, step.seconds))
        result = f": {step.result}" if step.result else ""
        self.line(f"[green]ok[/green]     {title}{result} [dim]{step.seconds:.1f} s[/dim]")

    def line(self, text: str = "") -> None:
        """Print one line; rich markup is understood."""
        self.console.print(text, soft_wrap=True, highlight=False)

    def waiting(self, text: str) -> None:
        """Say once what is waited for."""
        if text != self._waiting:
            self._waiting = text
            self.line(f"waiting: {text}")

    def text(self, text: str) -> None:
        """Print text as it is."""
        self.console.print(text, markup=False, soft_wrap=True, highlight=False)

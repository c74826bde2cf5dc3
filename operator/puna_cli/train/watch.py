"""`puna train watch`: a run in the terminal, until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.live import Live

from puna.api.training_status import TrainingJobStatus
from puna_cli.train.ending import ending
from puna_cli.train.picture import picture

INTERVAL_SECONDS: Final = 1.0


def watch(
    name: str,
    read: Callable[[], TrainingJobStatus],
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Show a run until it has ended; whether it ended well.

    Where the output is no terminal, one line is printed for each change of what is shown.
    """
    if not console.is_terminal:
        return _lines(name, read, console, sleep)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = read()
            live.update(picture(name, status, width=min(console.width, 100)), refresh=True)
            if ending(status) is not None:
                return status.summary.stage == "Complete"
            sleep(INTERVAL_SECONDS)


def _lines(
    name: str,
    read: Callable[[], TrainingJobStatus],
    console: Console,
    sleep: Callable[[float], None],
) -> bool:
    last = ""
    while True:
        status = read()
        summary = status.summary
        facts = {
            "epoch": summary.epoch,
            "step": summary.step,
            "loss": summary.loss,
            "metric": summary.metric,
            "eta": summary.eta,
        }
        told = " ".join(f"{key}={value}" for key, value in facts.items() if value)
        line = f"{name} {summary.stage or 'Pending'} {told}".rstrip()
        if line != last:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
            last = line
        end = ending(status)
        if end is not None:
            console.print(end, markup=False, highlight=False, soft_wrap=True)
            return summary.stage == "Complete"
        sleep(INTERVAL_SECONDS)

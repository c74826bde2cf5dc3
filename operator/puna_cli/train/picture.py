"""The picture of a run: what it does, how far it is, and its loss. Pure."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from puna.api.training_status import TrainingJobStatus
from puna_cli.train.curve import curve
from puna_cli.train.ending import ending

ENDED: Final = {"Complete": "green", "Failed": "red"}


def picture(name: str, status: TrainingJobStatus, *, width: int) -> RenderableType:
    """Return what is shown of a run.

    Args:
        name: of the TrainingJob.
        status: as it is now.
        width: columns of the terminal.
    """
    summary, progress = status.summary, status.progress
    stage = summary.stage or "Pending"
    head = Text.assemble((name, "bold"), "  ", (stage, ENDED.get(stage, "cyan")))
    parts: list[RenderableType] = [head]
    if progress is not None and progress.step is not None and progress.total_steps:
        parts.append(ProgressBar(total=progress.total_steps, completed=progress.step, width=width))
    parts.append(_facts(status))
    if progress is not None:
        parts += [Text(line) for line in curve(progress.curve, width=width)]
        if progress.message:
            parts.append(Text(progress.message, style="dim"))
    end = ending(status)
    if end is not None:
        parts.append(Text(end))
    return Group(*parts)


def _facts(status: TrainingJobStatus) -> Table:
    summary, progress = status.summary, status.progress
    speed = ""
    if progress is not None and progress.tokens_per_second is not None:
        speed = f"{progress.tokens_per_second:g} tokens/s"
    elif progress is not None and progress.images_per_second is not None:
        speed = f"{progress.images_per_second:g} images/s"
    latest = status.checkpoints.latest
    facts = {
        "epoch": summary.epoch,
        "step": summary.step,
        "loss": summary.loss,
        "metric": summary.metric,
        "speed": speed,
        "eta": summary.eta,
        "checkpoint": latest.name if latest else "",
        "retries": str(status.retries.counted) if status.retries.counted else "",
    }
    shown = {key: value for key, value in facts.items() if value}
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(key, style="dim") for key in shown))
    table.add_row(*shown.values())
    return table

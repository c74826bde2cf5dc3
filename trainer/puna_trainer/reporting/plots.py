"""Plots of a run as SVG: what its log says of losses, accuracy or perplexity, and rates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Entries = Sequence[dict[str, Any]]

SIZE: Final = (6.4, 3.2)
POINTS: Final = 400
"""Points of a line of steps: each is a mean, so that a long run is still to be read."""
MOST_CLASSES: Final = 30
"""Classes up to which who is taken for whom is to be read."""


def loss_plot(entries: Entries) -> str:
    """Return training and validation loss over steps."""
    figure, axes = _axes("step", "loss")
    _line(axes, entries, "loss", "training")
    _points(axes, entries, "valLoss", "validation")
    axes.legend()
    return _svg(figure)


def metric_plot(entries: Entries, member: str, label: str) -> str:
    """Return what evaluations measured, over steps."""
    figure, axes = _axes("step", label)
    _points(axes, entries, member, label)
    return _svg(figure)


def rate_plot(entries: Entries) -> str:
    """Return the learning rate over steps."""
    figure, axes = _axes("step", "learning rate")
    _line(axes, entries, "learningRate", "learning rate")
    return _svg(figure)


def confusion_plot(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Return who is taken for whom: rows are true classes, columns what they were taken for."""
    side = max(4.0, 0.45 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow([[count**0.25 for count in row] for row in confusion], cmap="Blues")
    # Names are no formulas, whatever dollars they have.
    axes.set_xticks(range(len(classes)), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    for row, counts in enumerate(confusion):
        for column, count in enumerate(counts):
            if count:
                colour = "white" if count == max(counts) else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, size=8)
    return _svg(figure)


def _axes(below: str, beside: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _line(axes: Axes, entries: Entries, member: str, label: str) -> None:
    steps = [(entry["step"], entry[member]) for entry in entries if entry["kind"] == "step"]
    width = -(-len(steps) // POINTS) or 1
    groups = [steps[start : start + width] for start in range(0, len(steps), width)]
    axes.plot(
        [group[-1][0] for group in groups],
        [sum(value for _, value in group) / len(group) for group in groups],
        label=label,
    )


def _points(axes: Axes, entries: Entries, member: str, label: str) -> None:
    found = [(entry["step"], entry[member]) for entry in entries if member in entry]
    axes.plot([step for step, _ in found], [value for _, value in found], "o-", label=label)


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()[written.getvalue().index("<svg") :]

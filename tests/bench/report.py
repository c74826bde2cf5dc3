"""What a benchmark says: figures with their goals, as lines and in `docs/benchmarks`.

A benchmark is a module of this folder that ends in

    if __name__ == "__main__":
        sys.exit(report("reconcile", [Figure("all Deployments", 12.3, "s", goal=18)]))
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COLUMNS = ("figure", "value", "anchor", "ratio", "goal", "holds")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    With an `anchor` (what the same run measured by other means, for example llama-server started by
    hand) the goal is for value / anchor; without one it is for the value itself.
    """

    name: str
    value: float
    unit: str = ""
    anchor: float | None = None
    goal: float | None = None
    at_least: bool = False
    """The goal is a lower bound; else an upper one."""

    @property
    def ratio(self) -> float | None:
        """Value divided by anchor."""
        return self.value / self.anchor if self.anchor else None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        judged = self.value if self.ratio is None else self.ratio
        return judged >= self.goal if self.at_least else judged <= self.goal

    def row(self) -> dict[str, Any]:
        """The figure by column."""
        return {
            "figure": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "anchor": rounded(self.anchor),
            "ratio": rounded(self.ratio),
            "goal": self.goal,
            "holds": self.holds,
        }


def rounded(number: float | None) -> float | None:
    """A number with four significant digits."""
    return None if number is None else float(f"{number:.4g}")


def lines(figures: Sequence[Figure]) -> list[str]:
    """The figures as comma-separated lines under a heading."""
    table = [",".join(COLUMNS)]
    for figure in figures:
        row = figure.row()
        bound = "" if figure.goal is None else f"{'>=' if figure.at_least else '<='}{figure.goal:g}"
        value = f"{row['value']:g}{f' {figure.unit}' if figure.unit else ''}"
        cells = (
            figure.name,
            value,
            "" if row["anchor"] is None else f"{row['anchor']:g}",
            "" if row["ratio"] is None else f"{row['ratio']:g}",
            bound,
            {None: "", True: "yes", False: "NO"}[figure.holds],
        )
        table.append(",".join(cells))
    return table


def report(
    name: str,
    figures: Sequence[Figure],
    details: Mapping[str, Any] | None = None,
    *,
    accelerator: str | None = None,
) -> int:
    """Print the figures and write them as a list to `docs/benchmarks/<name>.json`.

    `details` are printed alone; `accelerator` names what it ran on, if not the processor. Returns 1
    if a goal is missed, else 0.
    """
    print("\n".join(lines(figures)), flush=True)
    for key, value in (details or {}).items():
        print(f"# {key}: {json.dumps(value)}", flush=True)
    stamp = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}{f', {accelerator}' if accelerator else ''}",
    }
    file = ROOT / "docs" / "benchmarks" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [figure.row() | stamp for figure in figures]
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if any(figure.holds is False for figure in figures) else 0

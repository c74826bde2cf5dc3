"""The page of metrics, read from the modules that declare them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hack.generate.markdown import NOTE, code, table

SOURCE_ROOT: Final = Path(__file__).parents[2] / "operator"
PROGRAMS: Final = {
    "puna": "Operator, port 8081",
    "puna_router": "Router, port 9090",
    "puna_node": "Node agent",
}
TYPES: Final = frozenset({"Counter", "Gauge", "Histogram", "Summary"})


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as its module declares it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


def declared(module: Path) -> Iterator[Series]:
    """Return the metrics that a module creates, in the order of its text."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    calls = sorted(
        (node for node in ast.walk(tree) if isinstance(node, ast.Call)),
        key=lambda node: (node.lineno, node.col_offset),
    )
    for call in calls:
        kind = call.func.attr if isinstance(call.func, ast.Attribute) else _name(call.func)
        if kind in TYPES:
            name, meaning = (str(ast.literal_eval(argument)) for argument in call.args[:2])
            yield Series(_exposed(name, kind), kind.lower(), _labels(call), meaning)


def metrics_page() -> str:
    """Return the page of metrics."""
    parts = [f"{NOTE}\n# Metrics\n"]
    for package, title in PROGRAMS.items():
        module = SOURCE_ROOT / package / "metrics.py"
        if not module.is_file():
            continue
        rows = [
            (code(series.name), series.type, " ".join(map(code, series.labels)), series.meaning)
            for series in declared(module)
        ]
        parts.append(f"## {title}\n\n" + table(("metric", "type", "labels", "meaning"), rows))
    return "\n".join(parts)


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "Counter" and not name.endswith("_total") else name


def _labels(call: ast.Call) -> tuple[str, ...]:
    given = call.args[2:3] or [word.value for word in call.keywords if word.arg == "labelnames"]
    return tuple(ast.literal_eval(given[0])) if given else ()


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""

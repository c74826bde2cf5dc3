"""`report.html`: one page of what a run did, that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from puna_trainer.config.run import Run, Task
from puna_trainer.files import read_json, write_text
from puna_trainer.progress import Result
from puna_trainer.reporting.log import NAME as LOG
from puna_trainer.reporting.log import read_log
from puna_trainer.reporting.plots import (
    MOST_CLASSES,
    confusion_plot,
    loss_plot,
    metric_plot,
    rate_plot,
)

NAME: Final = "report.html"
STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0}
th,td{border-bottom:1px solid #ddd;padding:.2rem .8rem .2rem 0;text-align:left}
td{font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}.bad{color:#a00}
"""


def write_page(run: Run, folder: Path, result: Result) -> None:
    """Write the page of a run from its log, its evaluation and its result.

    Raises:
        OSError: it cannot be written.
    """
    entries = list(read_log(folder / "logs" / LOG))
    evaluation = read_json(folder / "evaluation.json") or {}
    write_text(folder / NAME, page(run, result, entries, evaluation))


def page(
    run: Run, result: Result, entries: Sequence[dict[str, Any]], evaluation: Mapping[str, Any]
) -> str:
    """Return the page. Pure."""
    parts = [
        f"<h1>{escape(run.name)}</h1>",
        _outcome(result),
        _table("Run", _facts(run, result)),
    ]
    if any(entry["kind"] == "step" for entry in entries):
        accuracy = run.task is Task.IMAGE_CLASSIFICATION
        parts += [
            "<h2>Loss</h2>",
            loss_plot(entries),
            f"<h2>{'Accuracy' if accuracy else 'Perplexity'} on the validation data</h2>",
            metric_plot(entries, "valAccuracy", "accuracy")
            if accuracy
            else metric_plot(entries, "perplexity", "perplexity"),
            "<h2>Learning rate</h2>",
            rate_plot(entries),
        ]
    if result.metrics:
        parts.append(_table("Evaluation", result.metrics.items()))
    classes = [each["name"] for each in evaluation.get("classes", ())]
    if classes and len(classes) <= MOST_CLASSES and "confusion" in evaluation:
        parts += [
            "<h2>Which class is taken for which</h2>",
            confusion_plot(evaluation["confusion"], classes),
        ]
    if result.artifacts:
        parts.append(_artifacts(result))
    if result.hashes:
        parts.append(_table("Hashes", result.hashes.model_dump(exclude_none=True).items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(run.name)}'
        f"</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _outcome(result: Result) -> str:
    if result.reason is None:
        return f"<p>{escape(result.message or 'Every stage is done.')}</p>"
    return f'<p class="bad"><b>{result.reason}</b>: {escape(result.message)}</p>'


def _facts(run: Run, result: Result) -> Iterable[tuple[str, Any]]:
    chosen = run.hyperparameters
    yield "task", run.task
    yield "model", run.model.model_dump_json(by_alias=True, exclude_unset=True)
    yield "dataset", run.dataset.uri
    yield "stages", ", ".join(result.done) or "none"
    yield "steps", result.step if result.step is not None else "none"
    yield "batch size", chosen.batch_size
    yield "optimizer, schedule", f"{chosen.optimizer}, {chosen.schedule}"
    yield "seed", chosen.seed
    if result.checkpoint:
        yield "newest checkpoint", f"{result.checkpoint.name} ({result.checkpoint.sha256[:12]})"


def _artifacts(result: Result) -> str:
    heading = "".join(
        f"<th>{name}</th>" for name in ("file", "bytes", "bits a weight", "logits NMSE", "sha256")
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(str(cell))}</td>"
            for cell in (
                artifact.path,
                artifact.size_bytes,
                artifact.bits_per_weight or "",
                artifact.parity.nmse if artifact.parity else "",
                artifact.sha256[:12],
            )
        )
        + "</tr>"
        for artifact in result.artifacts
    )
    return f"<h2>Files</h2><table><tr>{heading}</tr>{rows}</table>"


def _table(title: str, facts: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>" for name, value in facts
    )
    return f"<h2>{title}</h2><table>{rows}</table>"


def _shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)

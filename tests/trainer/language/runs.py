"""Small runs of a language model, with data as the stage `data` leaves it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from puna_trainer.config.run import Run
from puna_trainer.distributed import ProcessGroup
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal

OPEN: list[Reporter] = []
"""Reporters of contexts that were made; `conftest` closes them after each test."""
WORDS = ("red", "green", "blue", "old", "new", "house", "tree", "river", "runs", "stands", "falls")


def sentences(count: int, seed: int = 0) -> list[str]:
    """Documents with something in them to learn: the first half of a sentence tells the second."""
    drawn = random.Random(seed)
    texts = []
    for _ in range(count):
        pairs = [drawn.choice(WORDS) for _ in range(drawn.randint(4, 12))]
        texts.append(" ".join(f"the {word} is {word[::-1]}." for word in pairs))
    return texts


def write_data(
    output: Path,
    train: Sequence[str],
    validation: Sequence[str],
    test: Sequence[str] = (),
) -> None:
    """Leave data as the stage `data` does."""
    folder = output / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in (("train", train), ("validation", validation), ("test", test)):
        if texts:
            lines = (json.dumps({"text": text, "source": "here"}) for text in texts)
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def language_run(output: Path, **changed: Any) -> Run:
    """Return a run that trains in seconds; members in the spelling of `run.json`."""
    hyperparameters = {
        "epochs": 2,
        "batchSize": 4,
        "learningRate": 0.003,
        "precision": "float32",
        "seed": 7,
    } | changed.pop("hyperparameters", {})
    document = {
        "name": "tiny",
        "task": "LanguageModel",
        "model": {
            "layers": 2,
            "width": 32,
            "heads": 4,
            "kvHeads": 2,
            "feedForward": 64,
            "contextLength": 32,
            "vocabularySize": 290,
        },
        "dataset": {"uri": "file:///nowhere", "format": "text"},
        "outputDirectory": str(output),
        "device": "cpu",
        "hyperparameters": hyperparameters,
    }
    return Run.model_validate(document | changed)


def resumable_run(output: Path, **changed: Any) -> Run:
    """Return a run over windows that its batches do not divide: they lie over ends of epochs."""
    chosen = {"epochs": 3, "batchSize": 6, "evaluateEverySteps": 7}
    return language_run(
        output,
        hyperparameters=chosen | changed.pop("hyperparameters", {}),
        checkpoint={"everySteps": 3, "keep": 2},
        **changed,
    )


def source_of(folder: Path, documents: int = 16) -> Path:
    """Write a dataset of its own, a document on each line."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "texts.jsonl"
    lines = (json.dumps({"text": text}) for text in sentences(documents))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def context_of(
    run: Run,
    *,
    write: Callable[[str], None] = lambda _line: None,
    clock: Callable[[], float] = time.monotonic,
    stop: StopSignal | None = None,
    group: ProcessGroup | None = None,
) -> StageContext:
    """Return what a stage of the run is given."""
    folder = Path(run.output_directory)
    group = group or ProcessGroup()
    reporter = Reporter(run, folder / "logs" if group.is_first else None, write=write, clock=clock)
    OPEN.append(reporter)
    return StageContext(
        run=run,
        folder=folder,
        device=torch.device("cpu"),
        reporter=reporter,
        stop=stop or StopSignal(),
        group=group,
        inputs="0" * 64,
    )


def logged(output: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's log, those of contexts that are still open as well."""
    for reporter in OPEN:
        reporter.flush()
    lines = (output / "logs" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]

"""Pipeline: the stages of a run in order, without those whose inputs and outputs are unchanged.

`stages.json` in the output folder says of each stage that is done what it depended on, and what it
made. A stage depends on fields of the run and on what the stages before it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from puna_trainer.artifacts import FOLDER as EXPORT
from puna_trainer.artifacts import read_manifest
from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import STAGES_OF, Run
from puna_trainer.files import document_digest, read_json, write_json
from puna_trainer.progress import CheckpointNote
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext, StageFunction

NAME: Final = "stages.json"
POINTERS: Final = ("latest", "best")
"""Fields of `Progress` that checkpoints are told by, and the names of their files."""
EVALUATION: Final = "evaluation.json"
"""What the stage evaluate leaves; its member `metrics` goes into the result."""


@dataclass(frozen=True, slots=True)
class Work:
    """One stage: what it does, and what it depends on."""

    function: StageFunction
    """What it does."""
    fields: Callable[[Run], Any]
    """What it depends on of the run: a document of JSON."""
    output: Callable[[Path, str], str | None]
    """Digest of what it has made in the output folder from inputs; None if that is not whole."""
    together: bool = False
    """Whether all processes do it; else the first does, and the others wait."""


def run_stages(context: StageContext, table: Mapping[StageName, Work]) -> None:
    """Run the stages of a run, and skip those that are done.

    Raises:
        TrainingError: a stage failed.
        Interrupted: SIGTERM came, and what there is was saved.
    """
    done: tuple[StageName, ...] = ()
    for name in context.run.stage_names():
        work = table[name]
        inputs, current = context.group.share(
            _judge(context.folder, context.run, name, work) if context.group.is_first else None
        )
        context.reporter.begin(name, done)
        if not current:
            _run(replace(context, inputs=inputs), work)
            if context.group.is_first:
                _record(context.folder, name, inputs, work)
        elif context.group.is_first:
            _recall(context.folder, name, context.reporter)
        context.group.wait()
        done = (*done, name)
        _tell_hashes(context.reporter, read_record(context.folder))
        context.reporter.finish(done)


def read_record(folder: Path) -> dict[str, dict[str, str]]:
    """Return what `stages.json` says: inputs and output of each stage that was done."""
    record: dict[str, dict[str, str]] = read_json(folder / NAME) or {}
    return record


def inputs_of(
    run: Run, name: StageName, work: Work, record: Mapping[str, Mapping[str, str]]
) -> str:
    """Return the digest of what a stage depends on. Pure."""
    order = STAGES_OF[run.task]
    before = {
        str(earlier): record[earlier]["output"]
        for earlier in order[: order.index(name)]
        if earlier in record
    }
    return document_digest({"stage": name, "fields": work.fields(run), "before": before})


def _judge(folder: Path, run: Run, name: StageName, work: Work) -> tuple[str, bool]:
    record = read_record(folder)
    inputs = inputs_of(run, name, work, record)
    known = record.get(name)
    current = (
        known is not None
        and known["inputs"] == inputs
        and known["output"] == work.output(folder, inputs)
    )
    return inputs, current


def _run(context: StageContext, work: Work) -> None:
    context.stop.check()
    if work.together:
        work.function(context)
    elif context.group.is_first:
        with context.stop.at_once():
            work.function(context)


def _record(folder: Path, name: StageName, inputs: str, work: Work) -> None:
    record = read_record(folder)
    output = work.output(folder, inputs)
    if output is None:
        record.pop(name, None)
    else:
        record[name] = {"inputs": inputs, "output": output}
    write_json(folder / NAME, record)


def _recall(folder: Path, name: StageName, reporter: Reporter) -> None:
    """Tell of a stage that is skipped what it told of itself when it ran."""
    if name in {StageName.TRAIN, StageName.PRETRAIN}:
        pointers = {name: read_json(folder / CHECKPOINTS / f"{name}.json") for name in POINTERS}
        notes = {
            name: CheckpointNote.model_validate(pointer)
            for name, pointer in pointers.items()
            if pointer is not None
        }
        kept = Store(folder / CHECKPOINTS, Checkpoints(), None).count()
        reporter.tell(**notes, checkpoints=kept)
        reporter.replay()
    elif name is StageName.EVALUATE:
        reporter.metrics |= (read_json(folder / EVALUATION) or {}).get("metrics", {})
    elif name is StageName.EXPORT:
        reporter.artifacts = read_manifest(folder / EXPORT)


def _tell_hashes(reporter: Reporter, record: Mapping[str, Mapping[str, str]]) -> None:
    if reporter.hashes is not None:
        reporter.hashes = reporter.hashes.model_copy(
            update={
                "data": record.get(StageName.DATA, {}).get("output"),
                "tokenizer": record.get(StageName.TOKENIZER, {}).get("output"),
            }
        )

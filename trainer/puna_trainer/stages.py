"""Stages of each task: what does them, what they depend on, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import Run, Task
from puna_trainer.data.stage import FOLDER as DATA
from puna_trainer.data.stage import data_digest, fields_of_data, prepare_data
from puna_trainer.export.export import export as export_language
from puna_trainer.hashes import fields_of, path_digest
from puna_trainer.images.evaluate import NAME as EVALUATION
from puna_trainer.images.evaluate import evaluate
from puna_trainer.images.export import FOLDER as EXPORT
from puna_trainer.images.export import export
from puna_trainer.images.train import train
from puna_trainer.language.corpus import TOKENIZER
from puna_trainer.language.evaluate import evaluate as evaluate_language
from puna_trainer.language.pretrain import pretrain
from puna_trainer.language.tokenizer_stage import fields_of_tokenizer, make_tokenizer
from puna_trainer.pipeline import Work
from puna_trainer.storage.location import Scheme, locate


def data_fields(run: Run) -> dict[str, Any]:
    """Return what the prepared data depend on: of local files also their sizes and times.

    Whoever writes another line into a file means to learn from it, although its address is the
    same. What lies elsewhere is fetched anew if its address or digest changes.
    """
    location = locate(run.dataset.uri, "dataset.uri")
    if location.scheme is not Scheme.FILE:
        return fields_of_data(run)
    root = Path(unquote(location.path))
    files = sorted(path for path in (root, *root.rglob("*")) if path.is_file())
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return fields_of_data(run) | {"files": facts}


def prepared(folder: Path, _inputs: str) -> str | None:
    """Return the digest of the prepared data."""
    return data_digest(folder / DATA)


def learned(folder: Path, inputs: str) -> str | None:
    """Return the digest of the best checkpoint that was made from these inputs."""
    best = Store(folder / CHECKPOINTS, Checkpoints(), inputs).best_note()
    return best.sha256 if best else None


def left_at(path: str) -> Callable[[Path, str], str | None]:
    """Return what gives the digest of everything at a path below the output folder."""

    def digest(folder: Path, _inputs: str) -> str | None:
        return path_digest(folder / path)

    return digest


STAGES: Final[dict[Task, dict[StageName, Work]]] = {
    Task.IMAGE_CLASSIFICATION: {
        StageName.DATA: Work(prepare_data, data_fields, prepared),
        StageName.TRAIN: Work(
            train,
            partial(fields_of, names=("model", "hyperparameters")),
            learned,
            together=True,
        ),
        StageName.EVALUATE: Work(
            evaluate, partial(fields_of, names=("evaluation",)), left_at(EVALUATION)
        ),
        StageName.EXPORT: Work(
            export, partial(fields_of, names=("name", "export", "upload")), left_at(EXPORT)
        ),
    },
    Task.LANGUAGE_MODEL: {
        StageName.DATA: Work(prepare_data, data_fields, prepared),
        StageName.TOKENIZER: Work(make_tokenizer, fields_of_tokenizer, left_at(TOKENIZER)),
        StageName.PRETRAIN: Work(
            pretrain,
            partial(fields_of, names=("model", "hyperparameters")),
            learned,
            together=True,
        ),
        StageName.EVALUATE: Work(
            evaluate_language, partial(fields_of, names=("evaluation",)), left_at(EVALUATION)
        ),
        StageName.EXPORT: Work(
            export_language, partial(fields_of, names=("name", "export", "upload")), left_at(EXPORT)
        ),
    },
}
"""The stages of a task, in order."""

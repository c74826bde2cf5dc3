"""Stages of each task: what does them, what they depend on, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from puna_trainer.artifacts import FOLDER as EXPORT
from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import Run, Task
from puna_trainer.data.stage import FOLDER as DATA
from puna_trainer.data.stage import data_digest, fields_of_data, prepare_data
from puna_trainer.export.classifier import export as export_classifier
from puna_trainer.export.export import export as export_language
from puna_trainer.export.start import holding_start
from puna_trainer.hashes import fields_of, path_digest
from puna_trainer.images.evaluate import NAME as EVALUATION
from puna_trainer.images.evaluate import evaluate
from puna_trainer.images.train import train
from puna_trainer.language.corpus import TOKENIZER
from puna_trainer.language.evaluate import evaluate as evaluate_language
from puna_trainer.language.hub_layout import FIELD
from puna_trainer.language.pretrain import pretrain
from puna_trainer.language.tokenizer_stage import fields_of_tokenizer, make_tokenizer
from puna_trainer.language.trained import is_about_start
from puna_trainer.pipeline import Work
from puna_trainer.storage.location import Scheme, locate


def data_fields(run: Run) -> dict[str, Any]:
    """Return what the prepared data depend on."""
    return fields_of_data(run) | local_files(run.dataset.uri, "dataset.uri")


def tokenizer_fields(run: Run) -> dict[str, Any]:
    """Return what a tokenizer depends on, the data apart."""
    return fields_of_tokenizer(run) | start_files(run)


def pretrain_fields(run: Run) -> dict[str, Any]:
    """Return what the weights of a language model depend on, data and tokenizer apart."""
    return fields_of(run, ("model", "hyperparameters")) | start_files(run)


def evaluation_fields(run: Run) -> dict[str, Any]:
    """Return what the measures of a language model depend on, its weights apart."""
    return fields_of(run, ("evaluation",)) | named_model(run)


def export_fields(run: Run) -> dict[str, Any]:
    """Return what the files of a language model depend on, its weights apart."""
    return fields_of(run, ("name", "export", "upload")) | named_model(run)


def named_model(run: Run) -> dict[str, Any]:
    """Return the facts of the model that a run names, if it is about that one."""
    return {"uri": run.model.uri} | start_files(run) if is_about_start(run) else {}


def start_files(run: Run) -> dict[str, Any]:
    """Return the facts of the files of the model to start from; none if there is none here."""
    return local_files(run.model.uri, FIELD) if run.model.uri else {}


def local_files(uri: str, field: str) -> dict[str, Any]:
    """Return sizes and times of the files that an address names, if they lie here.

    Whoever writes another line into a file means to learn from it, although its address is the
    same. What lies elsewhere is fetched anew if its address or digest changes.
    """
    location = locate(uri, field)
    if location.scheme is not Scheme.FILE:
        return {}
    root = Path(unquote(location.path))
    files = sorted(path for path in (root, *root.rglob("*")) if path.is_file())
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return {"files": facts}


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
            export_classifier,
            partial(fields_of, names=("name", "export", "upload")),
            left_at(EXPORT),
        ),
    },
    Task.LANGUAGE_MODEL: {
        StageName.DATA: Work(holding_start(prepare_data), data_fields, prepared),
        StageName.TOKENIZER: Work(
            holding_start(make_tokenizer), tokenizer_fields, left_at(TOKENIZER)
        ),
        StageName.PRETRAIN: Work(holding_start(pretrain), pretrain_fields, learned, together=True),
        StageName.EVALUATE: Work(evaluate_language, evaluation_fields, left_at(EVALUATION)),
        StageName.EXPORT: Work(export_language, export_fields, left_at(EXPORT)),
    },
}
"""The stages of a task, in order."""

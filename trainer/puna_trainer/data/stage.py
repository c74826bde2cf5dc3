"""The stage `data`: fetch, check, unpack, read, filter, split; and the digest of what it made.

<output>/data/
  source/        what was downloaded; nothing for file://
  unpacked/      what an archive held
  images.safetensors | train.jsonl validation.jsonl [test.jsonl]
  report.json    what is there and what was left out; written last
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from puna_trainer.config.dataset import DatasetFormat
from puna_trainer.config.run import Run, Task
from puna_trainer.data.documents import read_documents
from puna_trainer.data.idx import read_idx
from puna_trainer.data.image_folder import read_image_folder
from puna_trainer.data.images import FILE, prepare_images, read_report
from puna_trainer.data.labelled import Labelled
from puna_trainer.data.prepare import REPORT, prepare
from puna_trainer.data.tables import read_image_tables
from puna_trainer.files import document_digest, file_digest, readable
from puna_trainer.stage import StageContext
from puna_trainer.storage.archive import content_root, unpack
from puna_trainer.storage.download import Report
from puna_trainer.storage.faults import writing
from puna_trainer.storage.fetch import fetch
from puna_trainer.storage.location import is_archive

FOLDER: Final = "data"
"""Folder of the prepared data in the output folder."""


def prepare_data(context: StageContext) -> None:
    """Put the prepared data of a run into its output folder.

    Raises:
        TrainingError: the data cannot be had, or are not what their format says.
        Interrupted: SIGTERM came; what was downloaded is kept.
    """

    def report(message: str) -> None:
        context.stop.check()
        context.reporter.message(message)

    make_data(context.run, context.folder / FOLDER, report)


def make_data(run: Run, folder: Path, report: Report) -> dict[str, Any]:
    """Make the prepared data of a run in a folder, and return its report."""
    dataset = run.dataset
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).unlink(missing_ok=True)
    root = fetch(
        dataset.uri,
        folder / "source",
        field="dataset.uri",
        sha256=dataset.sha256,
        max_bytes=dataset.max_bytes,
        report=report,
    )
    if root.is_file() and is_archive(root.name):
        root = _unpacked(root, folder / "unpacked", report)
    report(f"reading {readable(root.name)} as {dataset.format}")
    if run.task is Task.IMAGE_CLASSIFICATION:
        return prepare_images(
            _images(run, root),
            folder,
            validation_percent=dataset.validation_percent,
            seed=run.hyperparameters.seed,
            shown=readable(root.name),
        )
    return prepare(
        read_documents(dataset, root),
        folder,
        run.preparation,
        validation_percent=dataset.validation_percent,
        report=report,
    )


def fields_of_data(run: Run) -> dict[str, Any]:
    """Return what the prepared data depend on of a run."""
    fields: dict[str, Any] = {
        "task": run.task,
        "dataset": run.dataset.model_dump(mode="json", by_alias=True, exclude={"max_bytes"}),
    }
    if run.task is Task.LANGUAGE_MODEL:
        return fields | {"preparation": run.preparation.model_dump(mode="json", by_alias=True)}
    return fields | {"seed": run.hyperparameters.seed}


def data_digest(folder: Path) -> str | None:
    """Return the digest of the prepared data in a folder; None if they are not whole."""
    report = read_report(folder)
    if report is None:
        return None
    names = [FILE] if report["kind"] == "images" else [f"{part}.jsonl" for part in report["parts"]]
    try:
        return document_digest({name: file_digest(folder / name) for name in names})
    except FileNotFoundError:
        return None


def _images(run: Run, root: Path) -> Labelled:
    match run.dataset.format:
        case DatasetFormat.IDX:
            return read_idx(root)
        case DatasetFormat.IMAGE_FOLDER:
            return read_image_folder(root)
        case _:
            return read_image_tables(run.dataset, root)


def _unpacked(archive: Path, folder: Path, report: Report) -> Path:
    with writing(folder):
        if folder.exists():
            shutil.rmtree(folder)
    unpack(archive, folder, report)
    return content_root(folder)

"""The stage `export` of a classifier: its folder, card and attestation, and their copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from puna_trainer.config.output import StageName
from puna_trainer.config.run import Run, Task
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import TrainingError
from puna_trainer.files import file_digest
from puna_trainer.images.artifact import read_classifier
from puna_trainer.progress import Artifact, Hashes
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stages import STAGES
from puna_trainer.stop import StopSignal
from tests.trainer.digits import CPU, INPUTS, fitted, image_data, run_of

HASHES = Hashes(config="c" * 64, code="d" * 64, data="e" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the stages before have left."""
    learn(tmp_path / "run")
    return tmp_path / "run"


def learn(folder: Path, **changed: Any) -> None:
    run = run_of(folder, hyperparameters={"epochs": 1, **changed})
    fitted(run, data=image_data(train=32, validation=16))


def exported(run: Run) -> Artifact:
    folder = Path(run.output_directory)
    reporter = Reporter(run, None, write=lambda _: None, clock=lambda: 0.0)
    reporter.hashes, reporter.metrics = HASHES, {"test_accuracy": 0.975}
    context = StageContext(run, folder, CPU, reporter, StopSignal(), ProcessGroup(), INPUTS)
    STAGES[Task.IMAGE_CLASSIFICATION][StageName.EXPORT].function(context)
    (artifact,) = reporter.artifacts
    (listed,) = json.loads((folder / "export" / "manifest.json").read_text())
    assert Artifact.model_validate(listed) == artifact
    assert artifact.sha256 == file_digest(folder / artifact.path / "model.safetensors")
    return artifact


def test_card_and_attestation_travel_with_the_classifier(folder: Path) -> None:
    artifact = exported(run_of(folder))
    layout = folder / artifact.path
    attestation = json.loads((layout.parent / "attestation.json").read_text())
    assert attestation["hashes"]["data"] == "e" * 64
    assert attestation["checkpoint"]["name"] == "epoch_1"
    assert attestation["libraries"]["torch"]
    card = (layout.parent / "card.md").read_text()
    for part in (
        "pipeline_tag: image-classification",
        "# digits",
        "12 x 12 pixels in gray: mlp. It tells 4 classes apart",
        "test_accuracy: 0.975",
        "e" * 64,
        attestation["weights"],
    ):
        assert part in card
    for foreign in ("GGUF", "perplexity", "personal data"):
        assert foreign not in card
    assert (layout / "README.md").read_text() == card
    assert json.loads((layout / "attestation.json").read_text()) == attestation
    model, _ = read_classifier(layout)
    best, _ = read_classifier(folder)
    weights = best.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_copies_lie_where_those_of_a_language_model_do(folder: Path) -> None:
    place = folder.parent / "copies"
    artifact = exported(run_of(folder, upload=place.as_uri()))
    assert artifact.uploaded_to == f"{place.as_uri()}/safetensors"
    assert sorted(
        path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()
    ) == [
        "attestation.json",
        "card.md",
        "safetensors/README.md",
        "safetensors/attestation.json",
        "safetensors/config.json",
        "safetensors/model.safetensors",
    ]


def test_the_files_of_the_export_before_stay_as_they_are(folder: Path) -> None:
    before = exported(run_of(folder))
    assert exported(run_of(folder)) == before
    learn(folder, epochs=2)
    after = exported(run_of(folder))
    assert after.path != before.path
    assert file_digest(folder / before.path / "model.safetensors") == before.sha256


def test_a_run_without_a_checkpoint_says_which_stage_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint to export; add train"):
        exported(run_of(tmp_path))

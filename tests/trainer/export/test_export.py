"""The stage: from a checkpoint to files that are registered, or to the reason why not."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import ArtifactType
from puna_trainer.config.run import Run
from puna_trainer.config.shape import Shape
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.export import export
from puna_trainer.export.metadata import read_metadata
from puna_trainer.export.registration import UNPROVED
from puna_trainer.files import file_digest
from puna_trainer.language.tokenizer import save_tokenizer
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.progress import Artifact, Hashes
from puna_trainer.randomness import RandomStates
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.trainer.export.models import HELD_OUT, Model, trained, with_shape

EVERYTHING = tuple(str(kind) for kind in ArtifactType)


def run_of(folder: Path, types: tuple[str, ...], **changes: Any) -> Run:
    document: dict[str, Any] = {
        "name": "tiny",
        "task": "LanguageModel",
        "model": {
            "layers": 2,
            "width": 256,
            "heads": 4,
            "kvHeads": 2,
            "feedForward": 512,
            "contextLength": 320,
            "vocabularySize": 512,
        },
        "dataset": {"uri": "file:///texts", "format": "text"},
        "hyperparameters": {"seed": 7},
        "export": {"types": types},
        "outputDirectory": str(folder),
    }
    return Run.model_validate(document | changes)


def context_of(run: Run) -> StageContext:
    folder = Path(run.output_directory)
    reporter = Reporter(run, None, write=lambda _: None, clock=lambda: 0.0)
    reporter.hashes = Hashes(config="c" * 64, code="d" * 64, data="e" * 64, tokenizer="f" * 64)
    reporter.metrics = {"perplexity": 12.5}
    return StageContext(
        run=run,
        folder=folder,
        device=torch.device("cpu"),
        reporter=reporter,
        stop=StopSignal(),
        group=ProcessGroup(),
        inputs="0" * 64,
    )


def save(context: StageContext, shape: Shape, weights: Mapping[str, Tensor]) -> None:
    store = Store(context.folder / "checkpoints", context.run.checkpoint, "1" * 64)
    state = TrainingState(
        model=weights,
        optimizer={},
        scaler={},
        step=40,
        epoch=0,
        batches=40,
        random=RandomStates.capture(context.device),
        inputs="1" * 64,
        description={"shape": asdict(shape)},
    )
    store.mark_best(store.save(state, "step_40"), 2.5)


@pytest.fixture(scope="module")
def model() -> Model:
    return trained()


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    """What the stages before have left."""
    save_tokenizer(model.tokenizer, tmp_path / "tokenizer", context_length=320)
    (tmp_path / "data").mkdir()
    lines = [json.dumps({"text": HELD_OUT[at : at + 2000]}) for at in range(0, 20_000, 2000)]
    (tmp_path / "data" / "validation.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def exported(folder: Path, model: Model, *types: str, **changes: Any) -> StageContext:
    context = context_of(run_of(folder, types, **changes))
    save(context, model.shape, model.weights)
    export(context)
    return context


def newest(folder: Path) -> Path:
    """The folder of the newest export."""
    exports = (path for path in (folder / "export").iterdir() if path.is_dir())
    return max(exports, key=lambda path: path.stat().st_mtime_ns)


def manifest(folder: Path) -> list[Artifact]:
    listed = json.loads((folder / "export" / "manifest.json").read_text())
    return [Artifact.model_validate(each) for each in listed]


def test_every_type_is_written_proved_and_registered(folder: Path, model: Model) -> None:
    context = exported(folder, model, *EVERYTHING)
    artifacts = manifest(folder)
    assert tuple(artifacts) == context.reporter.artifacts
    assert tuple(str(artifact.type) for artifact in artifacts) == EVERYTHING
    for artifact in artifacts[1:]:
        path = folder / artifact.path
        assert path == newest(folder) / f"tiny-{artifact.name}.gguf"
        assert artifact.sha256 == file_digest(path)
        assert artifact.size_bytes == path.stat().st_size
        assert artifact.bits_per_weight
        assert artifact.fallback_tensors == 0
        assert artifact.parity
        assert artifact.parity.ids_equal
        assert artifact.parity.kld is not None
        assert artifact.parity.perplexity_ratio is not None
    weights = (newest(folder) / "safetensors/model.safetensors").read_bytes()
    assert artifacts[0].sha256 == hashlib.sha256(weights).hexdigest()
    assert artifacts[0].parity is None
    sizes = [artifact.bits_per_weight or 0 for artifact in artifacts if artifact.name != "BF16"][1:]
    assert sizes == sorted(sizes, reverse=True)
    assert not (folder / UNPROVED).exists()


def test_card_and_attestation_travel_with_the_files(folder: Path, model: Model) -> None:
    exported(folder, model, "safetensors", "Q8_0", "Q4_K_M")
    place = newest(folder)
    attestation = json.loads((place / "attestation.json").read_text())
    assert attestation["seed"] == 7
    assert attestation["hashes"]["tokenizer"] == "f" * 64
    assert attestation["checkpoint"]["name"] == "step_40"
    assert attestation["libraries"]["torch"]
    card = (place / "card.md").read_text()
    for part in ("# tiny", "Q4_K_M", "perplexity: 12.5", "e" * 64, attestation["weights"]):
        assert part in card
    assert (place / "safetensors/README.md").read_text() == card
    assert json.loads((place / "safetensors/attestation.json").read_text()) == attestation
    for name in ("Q8_0", "Q4_K_M"):
        keys = read_metadata(place / f"tiny-{name}.gguf")
        assert keys["general.puna.seed"] == 7
        assert keys["general.puna.data_sha256"] == "e" * 64
        assert keys["general.puna.weights_sha256"] == attestation["weights"]


def test_f32_is_the_base_of_a_proof_and_kept_only_if_it_is_asked_for(
    folder: Path, model: Model
) -> None:
    exported(folder, model, "Q4_K_M")
    assert sorted(path.name for path in newest(folder).iterdir()) == [
        "attestation.json",
        "card.md",
        "tiny-Q4_K_M.gguf",
    ]


def test_without_a_proof_nothing_is_registered(folder: Path, model: Model) -> None:
    context = exported(
        folder, model, "safetensors", "F16", export={"types": ["F16"], "verify": False}
    )
    assert (newest(folder) / "tiny-F16.gguf").is_file()
    assert manifest(folder) == []
    assert context.reporter.artifacts == ()
    assert "None is registered" in (newest(folder) / "card.md").read_text()


def test_the_same_weights_give_the_same_files(folder: Path, model: Model) -> None:
    exported(folder, model, "F32", "Q4_K_M")
    first = manifest(folder)
    damaged = folder / first[1].path
    damaged.write_bytes(damaged.read_bytes()[:1000])
    exported(folder, model, "F32", "Q4_K_M")
    assert manifest(folder) == first
    assert file_digest(damaged) == first[1].sha256
    assert [path.name for path in (folder / "export").iterdir() if path.is_dir()] == [
        newest(folder).name
    ]


def test_a_file_that_does_not_behave_like_the_model_is_refused_and_kept_aside(
    folder: Path, model: Model
) -> None:
    exported(folder, model, "F32")
    before = manifest(folder)
    config = json.loads((folder / "tokenizer/tokenizer_config.json").read_text())
    wrong = json.dumps(config | {"add_bos_token": False})  # the tokenizer itself adds one
    (folder / "tokenizer/tokenizer_config.json").write_text(wrong)
    with pytest.raises(TrainingError, match=r"tiny-F32\.gguf .* ids: other token ids") as error:
        exported(folder, model, "F32", "Q8_0")
    assert error.value.reason is FailureReason.PARITY_FAILED
    assert manifest(folder) == before
    assert (folder / UNPROVED / "tiny-F32.gguf").is_file()
    assert not (folder / UNPROVED / "manifest.json").exists()


def test_the_next_attempt_starts_anew(folder: Path, model: Model) -> None:
    (folder / UNPROVED).mkdir()
    (folder / UNPROVED / "left.gguf").write_bytes(b"left")
    exported(folder, model, "F32")
    assert not list(folder.glob("export/**/left.gguf"))


def test_files_of_the_two_exports_before_stay_as_they_are(folder: Path, model: Model) -> None:
    """A server reads them, or has to once it starts again."""
    exports = []
    for name in ("first", "second", "third", "fourth"):
        exported(folder, model, "F32", name=name)
        (artifact,) = manifest(folder)
        exports.append(artifact)
        for before in exports[-3:]:
            assert file_digest(folder / before.path) == before.sha256
    assert not (folder / exports[0].path).parent.exists()
    assert len({artifact.path for artifact in exports}) == len(exports)


def test_a_shape_that_a_type_cannot_hold_is_refused_by_its_field(folder: Path) -> None:
    odd = trained(with_shape(width=288, heads=6, kv_heads=6, feed_forward=768), steps=1)
    with pytest.raises(TrainingError, match=r"model\.width: 288 is no multiple of 256") as error:
        exported(folder, odd, "Q4_K_M")
    assert error.value.reason is FailureReason.BAD_CONFIG


def test_a_run_without_a_checkpoint_says_which_stage_is_missing(folder: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint to export; add pretrain"):
        export(context_of(run_of(folder, ("F32",))))


def test_a_run_that_only_exports_takes_the_folder_that_it_names(folder: Path, model: Model) -> None:
    exported(folder, model, "safetensors", "F32")
    start = folder.parent / "start"
    shutil.copytree(newest(folder) / "safetensors", start)
    other = folder.parent / "other"
    other.mkdir()
    again = context_of(
        run_of(other, ("F32",), model={"uri": f"file://{start}"}, stages=[{"name": "export"}])
    )
    make_tokenizer(again)
    export(again)
    before, after = manifest(folder)[1], manifest(other)[0]
    assert after.parity
    assert after.parity.nmse < 1e-6
    assert after.bits_per_weight == before.bits_per_weight
    assert after.size_bytes == pytest.approx(before.size_bytes, rel=0.01)


def test_copies_are_registered_with_where_they_lie(folder: Path, model: Model) -> None:
    place = folder.parent / "copies"
    exported(folder, model, "safetensors", "Q8_0", upload=f"file://{place}")
    artifacts = manifest(folder)
    assert [artifact.uploaded_to for artifact in artifacts] == [
        f"file://{place}/safetensors",
        f"file://{place}/tiny-Q8_0.gguf",
    ]
    copied = (place / "tiny-Q8_0.gguf").read_bytes()
    assert hashlib.sha256(copied).hexdigest() == artifacts[1].sha256
    assert (place / "safetensors/config.json").is_file()
    assert (place / "card.md").is_file()

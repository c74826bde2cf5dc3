"""A whole run, from texts to verified files: `python -m puna_trainer run.json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from puna_trainer.config.output import ArtifactType
from puna_trainer.exits import Exit
from puna_trainer.progress import Result
from tests.trainer.export.models import HELD_OUT, LEARNED

TYPES = [str(kind) for kind in ArtifactType]


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number, at in enumerate(range(0, 60_000, 3000)):
        (texts / f"{number}.txt").write_text((LEARNED + HELD_OUT)[at : at + 3000])
    return {
        "name": "tiny",
        "task": "LanguageModel",
        "model": {
            "layers": 2,
            "width": 256,
            "heads": 4,
            "kvHeads": 2,
            "feedForward": 256,
            "contextLength": 64,
            "vocabularySize": 400,
        },
        "dataset": {"uri": f"file://{texts}", "format": "text", "validationPercent": 20},
        "hyperparameters": {"maxSteps": 6, "batchSize": 8, "seed": 3},
        "export": {"types": TYPES},
        "outputDirectory": str(tmp_path / "output"),
        "device": "cpu",
    }


def start(
    document: dict[str, Any], folder: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    (folder / "run.json").write_text(json.dumps(document))
    return subprocess.run(
        [sys.executable, "-m", "puna_trainer", str(folder / "run.json")],
        capture_output=True,
        check=False,
        env=os.environ | environment,
        timeout=240,
    )


def run(document: dict[str, Any], folder: Path, **environment: str) -> Result:
    done = start(document, folder, **environment)
    output = Path(document["outputDirectory"])
    result = Result.model_validate_json((output / "result.json").read_text())
    assert result.exit_code == done.returncode, done.stderr.decode()
    return result


def test_texts_become_files_that_llama_cpp_computes_like_torch(
    document: dict[str, Any], tmp_path: Path
) -> None:
    result = run(document, tmp_path)
    assert result.exit_code == Exit.DONE, result.message
    assert [artifact.name for artifact in result.artifacts] == TYPES
    for artifact in result.artifacts:
        assert (tmp_path / "output" / artifact.path).exists()
        if artifact.parity:
            assert artifact.parity.ids_equal
            assert artifact.parity.positions >= 1024
    published = (tmp_path / "output" / result.artifacts[0].path).parent
    card = (published / "card.md").read_text()
    assert f"perplexity: {result.metrics['perplexity']:.4g}" in card
    again = run(document, tmp_path)
    assert again.artifacts == result.artifacts


def test_without_llama_cpp_nothing_is_begun(document: dict[str, Any], tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "llama_cpp.py").write_text("raise ImportError('no library')\n")
    done = start(document, tmp_path, PYTHONPATH=str(absent))
    assert done.returncode == Exit.REFUSED
    assert b"export.verify compares GGUF files with llama.cpp" in done.stderr
    assert not (tmp_path / "output").exists()


def test_an_export_that_is_not_asked_for_needs_none(
    document: dict[str, Any], tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "llama_cpp.py").write_text("raise ImportError('no library')\n")
    document["stages"] = [{"name": "data"}]
    assert run(document, tmp_path, PYTHONPATH=str(absent)).exit_code == Exit.DONE

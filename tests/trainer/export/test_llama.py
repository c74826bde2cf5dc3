"""The wrapper around llama.cpp."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from puna_trainer.config.refusals import FOREIGN_NAMES
from puna_trainer.errors import TrainingError
from puna_trainer.export.llama import CHUNK, LlamaFile
from tests.trainer.export.damage import rewrite
from tests.trainer.export.models import untrained


def test_logits_do_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    model = untrained()
    ids = model.reference.windows[0]
    with LlamaFile(model.write(tmp_path / "model.gguf"), context_length=320) as file:
        first = [chunk.copy() for chunk in file.logits(ids)]
        file.greedy(ids[:10], 5)
        again = [chunk.copy() for chunk in file.logits(ids)]
    assert [len(chunk) for chunk in first] == [CHUNK, 320 - CHUNK]
    assert np.array_equal(np.concatenate(first), np.concatenate(again))


def test_greedy_text_is_the_likeliest_token_after_each(tmp_path: Path) -> None:
    model = untrained()
    prompt = model.reference.windows[0][:20]
    with LlamaFile(model.write(tmp_path / "model.gguf"), context_length=320) as file:
        written = file.greedy(prompt, 12)
    assert len(written) == 12
    likeliest = model.reference.likeliest([*prompt, *written])
    assert likeliest[len(prompt) - 1 : -1] == written


def test_ends_are_the_end_of_text_and_the_end_of_a_turn(tmp_path: Path) -> None:
    model = untrained()
    with LlamaFile(model.write(tmp_path / "model.gguf"), context_length=64) as file:
        ends = [token for token in range(file.tokens) if file.ends(token)]
    assert ends == [model.vocabulary.end, model.vocabulary.end_of_turn]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_model_is_refused_with_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chat.gguf"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"llama.cpp does not load chat\.gguf: .+"):
        LlamaFile(path, context_length=64)


def test_more_tokens_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    model = untrained()
    with (
        LlamaFile(model.write(tmp_path / "model.gguf"), context_length=256) as file,
        pytest.raises(TrainingError, match=r"model\.gguf"),
    ):
        list(file.logits([0] * 300))


def test_llama_cpp_says_nothing_on_the_way(tmp_path: Path) -> None:
    """Standard output belongs to progress, and standard error to failures."""
    path = untrained().write(tmp_path / "model.gguf")
    code = (
        "from pathlib import Path; import sys\n"
        "from puna_trainer.config.output import ArtifactType\n"
        "from puna_trainer.export.llama import LlamaFile\n"
        "from puna_trainer.export.quantize import quantize\n"
        "quantize(Path(sys.argv[1]), Path(sys.argv[1] + '.q'), ArtifactType.Q6_K)\n"
        "with LlamaFile(Path(sys.argv[1] + '.q'), context_length=64) as file:\n"
        "    file.greedy([0, 5], 3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("name", ["phi-3", "my-phi3-run"])
def test_a_name_that_llama_cpp_takes_for_another_model_does_not_load(
    name: str, tmp_path: Path
) -> None:
    """Why such a run is refused before it begins."""
    model = untrained()
    path = rewrite(
        model.write(tmp_path / "model.gguf"),
        tmp_path / "named.gguf",
        keys={"general.name": name},
    )
    assert any(part in name for part in FOREIGN_NAMES)
    with pytest.raises(TrainingError, match="error loading model vocabulary"):
        LlamaFile(path, context_length=64)

"""A run that will need llama.cpp fails before it begins, where there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from puna_trainer.config.output import ArtifactType, Export
from puna_trainer.export.requirements import require_llama

CODE = """
import sys
sys.modules["llama_cpp"] = None
from puna_trainer.config.output import Export
from puna_trainer.errors import TrainingError
from puna_trainer.export.requirements import require_llama
try:
    require_llama(Export.model_validate_json(sys.argv[1]))
except TrainingError as error:
    print(error.reason, error.message)
"""


def without_llama(export: Export) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE, export.model_dump_json(by_alias=True)],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_it_is_there_in_the_trainer_s_environment() -> None:
    require_llama(Export(types=tuple(ArtifactType)))


@pytest.mark.parametrize("kind", [ArtifactType.F32, ArtifactType.Q8_0, ArtifactType.Q4_K_M])
def test_a_gguf_that_is_to_be_verified_needs_it(kind: ArtifactType) -> None:
    said = without_llama(Export(types=(ArtifactType.SAFETENSORS, kind)))
    assert said.startswith("BadConfig export.verify compares GGUF files with llama.cpp")
    assert "llama-cpp-python does not load here" in said


def test_k_quants_need_it_even_unverified() -> None:
    said = without_llama(Export(types=(ArtifactType.Q4_K_M, ArtifactType.Q6_K), verify=False))
    assert said.startswith("BadConfig export.types has Q4_K_M and Q6_K, which llama.cpp makes")


def test_everything_else_does_not() -> None:
    assert without_llama(Export()) == ""
    assert without_llama(Export(types=(ArtifactType.Q8_0,), verify=False)) == ""

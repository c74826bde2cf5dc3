"""An export that will need llama.cpp says so where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from puna_trainer.config.output import ArtifactType, Export
from puna_trainer.export.requirements import require_llama

CODE = """
import json, sys
sys.modules["llama_cpp"] = None
from puna_trainer.config.output import Export
from puna_trainer.errors import TrainingError
from puna_trainer.export.requirements import require_llama
for text in json.loads(sys.argv[1]):
    try:
        require_llama(Export.model_validate(text))
        print()
    except TrainingError as error:
        print(error.reason, error.message)
"""
VERIFIED = [
    Export(types=(ArtifactType.SAFETENSORS, kind))
    for kind in (ArtifactType.F32, ArtifactType.Q8_0, ArtifactType.Q4_K_M)
]
MADE_BY_IT = Export(types=(ArtifactType.Q4_K_M, ArtifactType.Q6_K), verify=False)
FREE = [Export(), Export(types=(ArtifactType.Q8_0,), verify=False)]


@pytest.fixture(scope="module")
def said() -> dict[Export, str]:
    """What each export says where llama-cpp-python is not there; nothing if it needs none."""
    exports = [*VERIFIED, MADE_BY_IT, *FREE]
    documents = json.dumps([export.model_dump(mode="json", by_alias=True) for export in exports])
    done = subprocess.run(
        [sys.executable, "-c", CODE, documents],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    return dict(zip(exports, done.stdout.splitlines(), strict=True))


def test_it_is_there_in_the_trainer_s_environment() -> None:
    require_llama(Export(types=tuple(ArtifactType)))


def test_a_gguf_that_is_to_be_verified_needs_it(said: dict[Export, str]) -> None:
    for export in VERIFIED:
        assert said[export].startswith("BadConfig export.verify compares GGUF files with llama.cpp")
        assert "llama-cpp-python does not load here" in said[export]


def test_k_quants_need_it_even_unverified(said: dict[Export, str]) -> None:
    wanted = "BadConfig export.types has Q4_K_M and Q6_K, which llama.cpp makes"
    assert said[MADE_BY_IT].startswith(wanted)


def test_everything_else_does_not(said: dict[Export, str]) -> None:
    assert [said[export] for export in FREE] == ["", ""]

from __future__ import annotations

from typing import Any

import pytest

from puna_trainer.config.refusals import refusals
from puna_trainer.config.run import Run

MODEL = {
    "layers": 2,
    "width": 512,
    "heads": 8,
    "feedForward": 1536,
    "contextLength": 256,
    "vocabularySize": 512,
}


def refused(types: list[str], name: str = "chat", **model: Any) -> list[str]:
    run = Run.model_validate(
        {
            "name": name,
            "task": "LanguageModel",
            "model": MODEL | model,
            "dataset": {"uri": "file:///texts", "format": "text"},
            "export": {"types": types},
            "outputDirectory": "/runs",
        }
    )
    return [refusal.field for refusal in refusals(run)]


def test_a_shape_on_the_grid_holds_every_type() -> None:
    types = ["safetensors", "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]
    assert refused(types) == []


@pytest.mark.parametrize("kind", ["Q6_K", "Q5_K_M", "Q4_K_M"])
def test_k_quants_hold_rows_of_256_alone(kind: str) -> None:
    assert refused([kind], width=576, heads=9) == ["model.width"]
    assert refused([kind], feedForward=1408) == ["model.feedForward"]
    assert refused(["Q8_0"], width=576, heads=9, feedForward=1408) == []


def test_q8_0_holds_rows_of_32_alone() -> None:
    assert refused(["Q8_0"], width=528) == ["model.width"]
    assert refused(["F16"], width=528) == []


@pytest.mark.parametrize("name", ["phi3", "my-phi-3.5"])
def test_a_name_that_llama_cpp_takes_for_another_model_is_refused(name: str) -> None:
    assert refused(["Q8_0"], name=name) == ["name"]
    assert refused(["safetensors"], name=name) == []

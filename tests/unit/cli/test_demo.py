from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from puna.api.llmendpoint import LLMEndpointSpec
from puna.api.preset import PresetSpec
from puna_cli.bundled import bundled
from puna_cli.demo import CLAIM, ENDPOINT, current_conditions, describe, is_stuck
from puna_cli.model import NAME, SHA256, place

EXAMPLE = bundled("examples/01-first-endpoint", "examples/01-first-endpoint") / "endpoint.yaml"


def test_the_example_asks_for_the_file_that_the_demo_places() -> None:
    documents = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
    claims = [d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"]
    assert claims == [CLAIM]
    presets = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Preset"}
    (endpoint,) = [d for d in documents if d["kind"] == "LLMEndpoint"]
    spec = LLMEndpointSpec.model_validate(endpoint["spec"])
    assert endpoint["metadata"]["name"] == ENDPOINT
    assert (spec.model.uri, spec.model.sha256) == (f"pvc://{CLAIM}/{NAME}", SHA256)
    assert spec.preset_ref is not None
    assert {spec.preset_ref.name, *spec.presets} == presets.keys()
    for preset in presets.values():
        PresetSpec.model_validate(preset)


def test_conditions_of_a_former_generation_do_not_count() -> None:
    old = {"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 1}
    new = {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 2}
    endpoint = {"metadata": {"generation": 2}, "status": {"conditions": [old, new]}}
    assert current_conditions(endpoint) == {"Accepted": new}
    assert current_conditions({}) == {}


@pytest.mark.parametrize(
    ("condition", "status", "stuck"),
    [
        ("Accepted", "False", True),
        ("ResolvedRefs", "False", True),
        ("Progressing", "False", True),
        ("Progressing", "True", False),
        ("Ready", "False", False),
        ("ModelReady", "Unknown", False),
    ],
)
def test_an_endpoint_is_stuck_when_it_says_so(
    condition: str,
    status: str,
    stuck: bool,  # noqa: FBT001
) -> None:
    assert is_stuck({condition: {"type": condition, "status": status}}) == stuck


def test_a_condition_is_one_line() -> None:
    condition = {"type": "ModelReady", "status": "False", "reason": "Fetching", "message": "1 %"}
    assert describe(condition) == "ModelReady=False Fetching: 1 %"


def test_a_model_is_placed_without_a_second_copy(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"model")
    place(model, tmp_path / "claim")
    place(model, tmp_path / "claim")
    assert (tmp_path / "claim" / "m.gguf").stat().st_ino == model.stat().st_ino


def test_a_file_of_another_size_is_replaced(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"model")
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "m.gguf").write_bytes(b"half")
    place(model, tmp_path / "claim")
    assert (tmp_path / "claim" / "m.gguf").read_bytes() == b"model"

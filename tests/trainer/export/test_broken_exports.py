"""Files that are broken in one way each are refused, by the measure that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.gates import BOUNDS, Measure
from puna_trainer.export.proof import Proof, prove
from puna_trainer.export.reference import Reference
from tests.trainer.export.damage import Change, halved, paired, rewrite
from tests.trainer.export.models import SHAPE, Model, trained, untrained


@pytest.fixture(scope="module", params=["untrained", "trained"])
def model(request: pytest.FixtureRequest) -> Model:
    return trained() if request.param == "trained" else untrained()


@pytest.fixture(scope="module")
def reference(model: Model) -> Reference:
    return model.reference


@pytest.fixture(scope="module")
def good(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.write(tmp_path_factory.mktemp("good") / "model.gguf")


class Bench:
    """Proves variations of one file."""

    def __init__(self, good: Path, model: Model, reference: Reference, folder: Path) -> None:
        self._good, self._model, self._reference = good, model, reference
        self._folder = folder

    def prove(
        self,
        *,
        keys: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Change] | None = None,
    ) -> Proof:
        path = rewrite(self._good, self._folder / "broken.gguf", keys=keys, tensors=tensors)
        return prove(path, ArtifactType.F32, self._reference, self._model.vocabulary)

    def failed(self, **changes: Any) -> set[Measure]:
        return {failure.measure for failure in self.prove(**changes).failures}


@pytest.fixture
def bench(good: Path, model: Model, reference: Reference, tmp_path: Path) -> Bench:
    return Bench(good, model, reference, tmp_path)


def test_a_file_that_is_written_anew_without_a_change_passes(bench: Bench) -> None:
    proof = bench.prove()
    assert proof.failures == ()
    assert proof.parity.nmse < 1e-9
    assert proof.parity.positions >= 1024
    assert proof.parity.greedy_equal


def test_an_unpermuted_k_fails_by_its_logits(bench: Bench) -> None:
    change = {".attn_k.": lambda rows: halved(rows, SHAPE.kv_heads)}
    assert bench.failed(tensors=change) == {Measure.NMSE}


def test_neither_q_nor_k_permuted_fails_by_its_logits(bench: Bench) -> None:
    change: dict[str, Change] = {
        ".attn_q.": lambda rows: halved(rows, SHAPE.heads),
        ".attn_k.": lambda rows: halved(rows, SHAPE.kv_heads),
    }
    assert bench.failed(tensors=change) == {Measure.NMSE}


def test_a_k_permuted_twice_fails_by_its_logits(bench: Bench) -> None:
    change = {".attn_k.": lambda rows: paired(rows, SHAPE.kv_heads)}
    assert bench.failed(tensors=change) == {Measure.NMSE}


def test_a_k_permuted_with_the_heads_of_q_fails_by_its_logits(bench: Bench) -> None:
    change = {".attn_k.": lambda rows: paired(halved(rows, SHAPE.kv_heads), SHAPE.heads)}
    assert bench.failed(tensors=change) == {Measure.NMSE}


def test_another_base_of_rotary_positions_fails_by_its_logits(bench: Bench) -> None:
    for value in (500_000.0, 10_500.0):
        failed = bench.failed(keys={"llama.rope.freq_base": value})
        assert failed == {Measure.METADATA, Measure.NMSE}


def test_another_epsilon_fails_by_its_metadata(bench: Bench) -> None:
    for value in (1e-6, 1e-3):
        failed = bench.failed(keys={"llama.attention.layer_norm_rms_epsilon": value})
        assert Measure.METADATA in failed


def test_a_coarse_epsilon_fails_by_its_logits_too(bench: Bench) -> None:
    failed = bench.failed(keys={"llama.attention.layer_norm_rms_epsilon": 1e-3})
    assert Measure.NMSE in failed


def test_a_beginning_that_is_not_named_fails_by_its_ids(bench: Bench) -> None:
    failed = bench.failed(keys={"tokenizer.ggml.bos_token_id": None})
    assert failed == {Measure.METADATA, Measure.IDS}


def test_a_beginning_that_is_not_added_fails_by_its_ids(bench: Bench) -> None:
    for value in (None, False):
        failed = bench.failed(keys={"tokenizer.ggml.add_bos_token": value})
        assert failed == {Measure.METADATA, Measure.IDS}


def test_an_end_that_is_added_fails_by_its_ids(bench: Bench) -> None:
    failed = bench.failed(keys={"tokenizer.ggml.add_eos_token": True})
    assert failed == {Measure.METADATA, Measure.IDS}


@pytest.mark.parametrize("name", [None, "default", "llama-bpe", "smollm", "qwen2", "starcoder"])
def test_another_pre_tokenizer_fails_by_its_ids(bench: Bench, name: str | None) -> None:
    failed = bench.failed(keys={"tokenizer.ggml.pre": name})
    assert failed == {Measure.METADATA, Measure.IDS}


def test_a_pre_tokenizer_that_llama_cpp_does_not_know_is_told_in_its_words(bench: Bench) -> None:
    with pytest.raises(TrainingError, match="unknown pre-tokenizer type: 'puna'") as error:
        bench.prove(keys={"tokenizer.ggml.pre": "puna"})
    assert error.value.reason is FailureReason.PARITY_FAILED


def test_another_context_length_fails_by_its_metadata_alone(bench: Bench) -> None:
    assert bench.failed(keys={"llama.context_length": 4096}) == {Measure.METADATA}


def test_a_missing_chat_template_fails_by_its_metadata_alone(bench: Bench) -> None:
    assert bench.failed(keys={"tokenizer.chat_template": None}) == {Measure.METADATA}


def test_norms_that_changed_places_fail_by_their_logits(bench: Bench, model: Model) -> None:
    norms = {
        part: model.weights[f"model.layers.0.{name}.weight"].numpy()
        for part, name in (
            ("blk.0.attn_norm", "post_attention_layernorm"),
            ("blk.0.ffn_norm", "input_layernorm"),
        )
    }
    change: dict[str, Change] = {part: lambda _, of=part: norms[of] for part in norms}  # type: ignore[misc]
    assert bench.failed(tensors=change) == {Measure.NMSE}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_fail_by_their_measures(bench: Bench, value: float) -> None:
    with pytest.raises(TrainingError, match="nmse: inf, a finite number is needed") as error:
        bench.prove(tensors={"output_norm": lambda norm: np.full_like(norm, value)})
    assert error.value.reason is FailureReason.PARITY_FAILED
    assert "broken.gguf does not behave like the trained model" in error.value.message


def test_an_error_at_the_end_of_the_context_alone_is_found(bench: Bench, model: Model) -> None:
    """A rope base that fits nearly: the first positions are right, those far back are not."""
    base = model.shape.rope_base * (1 + 1e-3)
    nmse = bench.prove(keys={"llama.rope.freq_base": base}).parity.nmse
    assert nmse > (BOUNDS[ArtifactType.F32].nmse or 0) or model.shape.context_length < 1024

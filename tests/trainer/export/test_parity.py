"""llama.cpp computes what torch computes, for every shape that a run may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.shape import Shape
from puna_trainer.export.gates import BOUNDS, Measure, judge
from puna_trainer.export.gguf_file import WRITTEN
from puna_trainer.export.parity import measure
from puna_trainer.export.proof import prove
from puna_trainer.export.quantize import quantize
from puna_trainer.export.reference import POSITIONS, windows
from tests.trainer.export.damage import rewrite
from tests.trainer.export.models import Model, trained, untrained, with_shape

SMALL = {"width": 64, "heads": 2, "kv_heads": 1, "feed_forward": 96}
SHAPES = {
    "grouped queries": with_shape(),
    "as many heads of keys": with_shape(kv_heads=4),
    "one head of keys": with_shape(heads=8, kv_heads=1),
    "untied": with_shape(tie_embeddings=False),
    "heads of two numbers": with_shape(width=32, heads=16, kv_heads=4, feed_forward=32),
    "heads of 256 numbers": with_shape(heads=1, kv_heads=1),
    "odd numbers": with_shape(width=42, heads=7, kv_heads=1, feed_forward=33, layers=3),
    "shortest context": with_shape(**SMALL, context_length=16),
    "context of several chunks": with_shape(**SMALL, context_length=1500),
    "deepest": with_shape(width=32, heads=2, kv_heads=2, feed_forward=32, layers=64),
    "coarse epsilon": with_shape(norm_epsilon=1e-2),
    "fine epsilon": with_shape(norm_epsilon=1e-12),
    "least base": with_shape(rope_base=100.0),
    "largest base": with_shape(rope_base=1e7),
}
"""The ends of what `run.json` allows, as far as seconds allow it."""


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logits_of_full_precision_are_the_model_s_up_to_full_context(
    shape: Shape, tmp_path: Path
) -> None:
    model = untrained(shape)
    proof = prove(
        model.write(tmp_path / "F32.gguf"), ArtifactType.F32, model.reference, model.vocabulary
    )
    assert proof.failures == ()
    assert proof.parity.ids_equal
    assert proof.parity.nmse < 1e-6
    assert proof.parity.positions >= max(1024, shape.context_length)


@pytest.fixture(scope="module")
def learned() -> Model:
    return trained()


@pytest.mark.parametrize("kind", [kind for kind in BOUNDS if kind is not ArtifactType.F32])
def test_every_other_type_of_a_trained_model_keeps_to_its_bounds(
    kind: ArtifactType, learned: Model, tmp_path: Path
) -> None:
    path = tmp_path / f"{kind}.gguf"
    if kind in WRITTEN:
        learned.write(path, kind)
    else:
        quantize(learned.write(tmp_path / "F32.gguf"), path, kind)
    proof = prove(path, kind, learned.reference, learned.vocabulary)
    assert proof.failures == ()
    assert proof.parity.kld is not None
    assert proof.parity.kld_99 is not None
    assert proof.parity.kld < proof.parity.kld_99


def test_fewer_bits_are_further_from_the_model(learned: Model, tmp_path: Path) -> None:
    source = learned.write(tmp_path / "F32.gguf")
    reference = learned.reference
    divergences = [measure(source, reference).kld]
    divergences.append(
        measure(learned.write(tmp_path / "Q8_0.gguf", ArtifactType.Q8_0), reference).kld
    )
    for kind in (ArtifactType.Q6_K, ArtifactType.Q4_K_M):
        quantize(source, tmp_path / f"{kind}.gguf", kind)
        divergences.append(measure(tmp_path / f"{kind}.gguf", reference).kld)
    assert divergences == sorted(divergences, key=lambda divergence: divergence or 0)


@pytest.mark.parametrize("part", ["blk.1.ffn_down", "blk.0.attn_v", "token_embd"])
def test_a_quantized_file_with_a_broken_matrix_fails_by_its_probabilities(
    part: str, learned: Model, tmp_path: Path
) -> None:
    """Scales of Q8_0 lie in the first two of 34 bytes: rows that changed places get wrong ones."""
    good = learned.write(tmp_path / "Q8_0.gguf", ArtifactType.Q8_0)
    broken = rewrite(good, tmp_path / "broken.gguf", tensors={part: lambda rows: rows[::-1]})
    proof = prove(broken, ArtifactType.Q8_0, learned.reference, learned.vocabulary)
    assert {Measure.KLD, Measure.TOP1} <= {failure.measure for failure in proof.failures}


def test_a_flat_model_shows_a_mistake_less_than_a_lively_one(tmp_path: Path) -> None:
    """Why a divergence alone proves little of F32: the gate there is that of the logits."""
    parity = measure(untrained().write(tmp_path / "F32.gguf"), untrained().reference)
    hardly = parity.model_copy(update={"nmse": 2e-6, "kld": 1e-6})
    assert [failure.measure for failure in judge(ArtifactType.F32, hardly)] == [Measure.NMSE]


def test_texts_are_windows_of_full_context_and_enough_positions() -> None:
    documents = [[0, *range(10, 400)], [0, *range(500, 900)]]
    for length in (16, 300, 1024, 3000):
        cut = windows(documents, length)
        assert {len(window) for window in cut} == {length}
        assert sum(map(len, cut)) >= POSITIONS
        assert cut[0][:5] == [0, 10, 11, 12, 13]


def test_too_little_text_is_gone_through_again() -> None:
    assert windows([[0, 5, 6]], 512) == [([0, 5, 6] * 400)[:512], ([0, 5, 6] * 400)[512:1024]]

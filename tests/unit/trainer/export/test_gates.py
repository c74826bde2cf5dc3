from __future__ import annotations

import pytest

from puna_trainer.config.output import ArtifactType
from puna_trainer.exits import FailureReason
from puna_trainer.export.gates import BOUNDS, Failure, Measure, judge, parity_failure
from puna_trainer.progress import Parity

GOOD = Parity(
    ids_equal=True,
    nmse=1e-9,
    positions=1024,
    kld=1e-6,
    kld_99=1e-5,
    top1=1.0,
    perplexity_ratio=1.0,
    greedy_equal=True,
)
GGUF = [kind for kind in ArtifactType if kind is not ArtifactType.SAFETENSORS]


def measures(kind: ArtifactType, **changes: object) -> list[Measure]:
    return [failure.measure for failure in judge(kind, GOOD.model_copy(update=changes))]


@pytest.mark.parametrize("kind", GGUF)
def test_every_type_has_bounds_and_a_good_file_keeps_to_them(kind: ArtifactType) -> None:
    assert kind in BOUNDS
    assert judge(kind, GOOD) == ()


@pytest.mark.parametrize("kind", GGUF)
def test_other_ids_keep_every_type_back(kind: ArtifactType) -> None:
    assert measures(kind, ids_equal=False) == [Measure.IDS]


def test_full_precision_is_held_to_its_logits() -> None:
    assert measures(ArtifactType.F32, nmse=1e-6) == []
    assert measures(ArtifactType.F32, nmse=1.1e-6) == [Measure.NMSE]
    assert measures(ArtifactType.F16, nmse=1.1e-6) == []
    assert measures(ArtifactType.F16, nmse=1.1e-3) == [Measure.NMSE]
    assert measures(ArtifactType.BF16, nmse=1.1e-3) == [Measure.NMSE]


@pytest.mark.parametrize(
    "kind", [ArtifactType.Q8_0, ArtifactType.Q6_K, ArtifactType.Q5_K_M, ArtifactType.Q4_K_M]
)
def test_quantized_files_are_held_to_their_probabilities(kind: ArtifactType) -> None:
    bounds = BOUNDS[kind]
    assert bounds.kld
    assert bounds.top1
    assert bounds.perplexity_ratio
    assert measures(kind, nmse=0.5) == []
    assert measures(kind, kld=bounds.kld * 1.01) == [Measure.KLD]
    assert measures(kind, top1=bounds.top1 - 0.01) == [Measure.TOP1]
    assert measures(kind, perplexity_ratio=bounds.perplexity_ratio + 0.01) == [
        Measure.PERPLEXITY_RATIO
    ]


def test_fewer_bits_may_lose_more() -> None:
    order = [ArtifactType.Q8_0, ArtifactType.Q6_K, ArtifactType.Q5_K_M, ArtifactType.Q4_K_M]
    divergences = [BOUNDS[kind].kld or 0 for kind in order]
    assert divergences == sorted(divergences)


def test_a_different_greedy_text_keeps_nothing_back() -> None:
    assert measures(ArtifactType.Q8_0, greedy_equal=False) == []


def test_what_failed_is_named_with_what_was_found_and_what_is_allowed() -> None:
    found = judge(
        ArtifactType.Q4_K_M,
        GOOD.model_copy(update={"kld": 0.5}),
        differing_keys=["llama.rope.freq_base"],
        fallbacks=[f"blk.{layer}.ffn_down.weight (Q5_0)" for layer in range(6)],
    )
    assert found == (
        Failure(Measure.METADATA, "llama.rope.freq_base not as in the model"),
        Failure(
            Measure.TENSOR_TYPES,
            "6 matrices are not stored as Q4_K_M: blk.0.ffn_down.weight (Q5_0), "
            "blk.1.ffn_down.weight (Q5_0), blk.2.ffn_down.weight (Q5_0), "
            "blk.3.ffn_down.weight (Q5_0) and 2 more; their rows are no multiple of 256",
        ),
        Failure(Measure.KLD, f"0.5, at most {BOUNDS[ArtifactType.Q4_K_M].kld:g} is allowed"),
    )


def test_the_user_hears_which_file_failed_by_which_measure() -> None:
    error = parity_failure(
        "chat-F32.gguf", judge(ArtifactType.F32, GOOD.model_copy(update={"nmse": 0.31}))
    )
    assert error.reason is FailureReason.PARITY_FAILED
    assert error.message == (
        "chat-F32.gguf does not behave like the trained model: nmse: 0.31, at most 1e-06 is allowed"
    )

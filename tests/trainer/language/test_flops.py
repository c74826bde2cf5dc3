from __future__ import annotations

import pytest

from puna_trainer.language.flops import flops_per_token, peak_flops, utilisation
from tests.trainer.language.shapes import shape


def test_work_of_a_token_counts_each_weight_that_multiplies() -> None:
    attention = 12 * 2 * 64 * 48
    tied, free = shape(), shape(tie_embeddings=False)
    assert flops_per_token(tied) == 6 * tied.parameters + attention
    assert flops_per_token(free) == 6 * (free.parameters - 320 * 64) + attention


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090", None),
        ("cpu", None),
    ],
)
def test_a_peak_is_said_only_where_it_is_known(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak


def test_utilisation_is_that_of_the_published_figures() -> None:
    # GPT-2 124M on 8 H100: 3.74 million tokens a second are about 41 percent (llm.c, nanoGPT).
    gpt2 = shape(
        layers=12,
        width=768,
        heads=12,
        kv_heads=12,
        feed_forward=2048,
        context_length=1024,
        vocabulary_size=50304,
    )
    share = utilisation(gpt2, 3.74e6 / 8, peak_flops("NVIDIA H100 80GB HBM3"))
    assert share == pytest.approx(0.41, abs=0.01)
    assert utilisation(gpt2, 1e6, None) is None

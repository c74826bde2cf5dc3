"""Generation with a cache against the whole forward pass, and the bigram beside it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from puna_trainer.language.bigram import Bigram
from puna_trainer.language.cache import Cache
from puna_trainer.language.generate import Sampler, generate, generate_by_bigram, greedy
from puna_trainer.language.model import Llama
from tests.trainer.language.shapes import shape


@pytest.fixture
def model() -> Llama:
    torch.manual_seed(5)
    llama = Llama(shape())
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return llama


@pytest.mark.parametrize("pieces", [[48], [1] * 48, [7, 1, 1, 20, 19], [40, 8]])
def test_logits_through_the_cache_are_those_of_the_whole_text(
    model: Llama, pieces: list[int]
) -> None:
    tokens_BT = torch.randint(0, 320, (2, 48))
    cache = Cache(model.shape, sequences=2)
    with torch.inference_mode():
        expected = model(tokens_BT)
        parts = [model(part, cache) for part in tokens_BT.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=0, atol=1e-5)


def test_greedy_text_is_that_of_the_most_likely_token_each_time(model: Llama) -> None:
    text = [3, 14, 15]
    for _ in range(20):
        with torch.inference_mode():
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    assert generate(model, text[:3], limit=20, end=-1, choose=greedy) == text[3:]


def test_a_text_ends_before_its_end_token(model: Llama) -> None:
    text = generate(model, [3], limit=30, end=-1, choose=greedy)
    end = text[-1]
    assert generate(model, [3], limit=30, end=end, choose=greedy) == text[: text.index(end)]


def test_a_prompt_that_is_too_long_loses_its_beginning(model: Llama) -> None:
    prompt = torch.randint(0, 320, (100,)).tolist()
    expected = generate(model, prompt[-28:], limit=20, end=-1, choose=greedy)
    assert generate(model, prompt, limit=20, end=-1, choose=greedy) == expected


def test_rows_without_a_token_are_never_written(model: Llama) -> None:
    choose = Sampler(5.0, torch.Generator().manual_seed(0))
    text = generate(model, [3], limit=40, end=-1, choose=choose, vocabulary_size=10)
    assert max(text) < 10


def test_sampled_text_depends_on_its_seed_alone(model: Llama) -> None:
    texts = [
        generate(
            model, [3], limit=20, end=-1, choose=Sampler(1.0, torch.Generator().manual_seed(s))
        )
        for s in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_sampler_draws_by_probability() -> None:
    logits_V = torch.tensor([0.1, 0.2, 0.7]).log()
    choose = Sampler(1.0, torch.Generator().manual_seed(0))
    drawn = torch.tensor([choose(logits_V) for _ in range(4000)]).bincount(minlength=3) / 4000
    torch.testing.assert_close(drawn, torch.tensor([0.1, 0.2, 0.7]), rtol=0, atol=0.03)


def test_the_bigram_is_that_of_witten_and_bell() -> None:
    ids_N = np.array([0, 1, 0, 1, 0, 2], dtype=np.uint16)
    bigram = Bigram.of(ids_N, 4)
    alone = [4 / 10, 3 / 10, 2 / 10, 1 / 10]
    assert bigram.alone.tolist() == pytest.approx(alone)
    # After 0: 1 twice, 2 once; two kinds.
    expected = [2 * alone[0] / 5, (2 + 2 * alone[1]) / 5, (1 + 2 * alone[2]) / 5, 2 * alone[3] / 5]
    assert bigram.log_probabilities(0).exp().tolist() == pytest.approx(expected)
    # Nothing follows 3.
    assert bigram.log_probabilities(3).exp().tolist() == pytest.approx(alone)


def test_the_bigrams_probabilities_are_one_together_and_its_loss_is_theirs() -> None:
    ids_N = np.random.default_rng(0).integers(0, 40, 500).astype(np.uint16)
    held_out_N = np.random.default_rng(1).integers(0, 50, 200).astype(np.uint16)
    bigram = Bigram.of(ids_N, 50)
    rows = torch.stack([bigram.log_probabilities(token) for token in range(50)])
    assert rows.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 50)
    followed = [float(rows[first, second]) for first, second in pairwise(held_out_N.tolist())]
    assert bigram.loss(held_out_N) == pytest.approx(-sum(followed) / len(followed))


def test_a_bigram_writes_what_follows_and_ends() -> None:
    bigram = Bigram.of(np.array([0, 1, 2, 3] * 50, dtype=np.uint16), 4)
    assert generate_by_bigram(bigram, [9, 1], limit=8, end=0, choose=greedy) == [2, 3]
    assert generate_by_bigram(bigram, [1], limit=5, end=-1, choose=greedy) == [2, 3, 0, 1, 2]
    assert math.exp(bigram.loss(np.array([0, 1, 2, 3]))) == pytest.approx(1, abs=0.05)

"""The Llama against that of transformers, with the same weights."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from puna_trainer.config.shape import Shape
from puna_trainer.language.model import Llama
from tests.trainer.language.shapes import shape


def peer(wanted: Shape) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=wanted.vocabulary_size,
        hidden_size=wanted.width,
        intermediate_size=wanted.feed_forward,
        num_hidden_layers=wanted.layers,
        num_attention_heads=wanted.heads,
        num_key_value_heads=wanted.kv_heads,
        max_position_embeddings=wanted.context_length,
        rms_norm_eps=wanted.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": wanted.rope_base},
        tie_word_embeddings=wanted.tie_embeddings,
        attention_bias=False,
        mlp_bias=False,
    )
    model = LlamaForCausalLM(config)
    model.eval()
    return model


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tie_embeddings": False},
        {"kv_heads": 4},
        {"kv_heads": 1, "heads": 8},
        {"rope_base": 500_000.0, "norm_epsilon": 1e-3, "layers": 3},
    ],
    ids=["tied", "free", "every head its own", "one for all", "other constants"],
)
def test_logits_are_those_of_transformers_with_the_same_weights(changed: dict[str, int]) -> None:
    torch.manual_seed(0)
    wanted = shape(**changed)
    ours, theirs = Llama(wanted), peer(wanted)
    with torch.no_grad():
        for parameter in ours.parameters():  # unlike at the start: norms that are not all ones
            parameter.add_(torch.randn_like(parameter) * 0.1)
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    tokens_BT = torch.randint(0, wanted.vocabulary_size, (3, wanted.context_length))
    with torch.inference_mode():
        expected, actual = theirs(tokens_BT).logits, ours(tokens_BT)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= ({"lm_head.weight"} if wanted.tie_embeddings else set())
    assert expected.std() > 0.5
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_names_are_those_of_transformers() -> None:
    theirs = {name for name, _ in peer(shape(tie_embeddings=False)).named_parameters()}
    assert set(Llama(shape(tie_embeddings=False)).state_dict()) == theirs
    assert set(Llama(shape()).state_dict()) == theirs - {"lm_head.weight"}


@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_counts_the_parameters_that_there_are(tied: bool) -> None:  # noqa: FBT001
    wanted = shape(tie_embeddings=tied)
    assert sum(each.numel() for each in Llama(wanted).parameters()) == wanted.parameters


def test_a_fresh_model_knows_nothing() -> None:
    torch.manual_seed(1)
    wanted = shape()
    tokens_BT = torch.randint(0, wanted.vocabulary_size, (4, wanted.context_length))
    with torch.inference_mode():
        logits_BTV = Llama(wanted)(tokens_BT[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten())
    assert float(loss) == pytest.approx(torch.log(torch.tensor(320.0)).item(), abs=0.1)


def test_no_token_looks_ahead() -> None:
    torch.manual_seed(2)
    model = Llama(shape())
    tokens_BT = torch.randint(0, 320, (1, 20))
    changed_BT = tokens_BT.clone()
    changed_BT[0, 12:] = (changed_BT[0, 12:] + 1) % 320
    with torch.inference_mode():
        before, after = model(tokens_BT), model(changed_BT)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_loss_falls_on_64_samples() -> None:
    torch.manual_seed(3)
    wanted = shape(context_length=16)
    model = Llama(wanted)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    tokens_BT = torch.randint(0, wanted.vocabulary_size, (64, 17))
    losses = []
    for _ in range(60):
        logits_BTV = model(tokens_BT[:, :-1])
        loss = torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten()
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]

from __future__ import annotations

import numpy as np
import pytest

from puna_trainer.export.closeness import Block, closeness, log_softmax

RANDOM = np.random.default_rng(0)


def block(reference_TV: np.ndarray, found_TV: np.ndarray) -> Block:
    return Block(reference_TV, found_TV, np.zeros(len(reference_TV), dtype=np.int64))


def test_a_model_is_as_close_to_itself_as_can_be() -> None:
    logits_TV = RANDOM.normal(size=(8, 16)).astype(np.float32)
    close = closeness([block(logits_TV, logits_TV)])
    assert (close.nmse, close.kld, close.top1, close.perplexity_ratio) == (0, 0, 1, 1)
    assert close.positions == 8


def test_nmse_is_the_squared_error_over_the_variance() -> None:
    reference_TV = np.array([[1.0, -1.0], [1.0, -1.0]])
    assert closeness([block(reference_TV, reference_TV + 0.1)]).nmse == pytest.approx(0.01)


def test_nmse_is_that_of_the_worst_block() -> None:
    reference_TV = RANDOM.normal(size=(4, 16))
    good = block(reference_TV, reference_TV)
    bad = block(reference_TV, reference_TV * 1.5)
    assert closeness([good] * 50 + [bad]).nmse == pytest.approx(closeness([bad]).nmse)


def test_a_shift_of_all_logits_changes_no_probability() -> None:
    reference_TV = RANDOM.normal(size=(4, 16))
    close = closeness([block(reference_TV, reference_TV + 3)])
    assert close.kld == pytest.approx(0, abs=1e-12)
    assert close.perplexity_ratio == pytest.approx(1)


def test_divergence_is_counted_in_nats_from_the_model_to_the_file() -> None:
    wanted, given = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    close = closeness([block(np.log(wanted), np.log(given))])
    assert close.kld == pytest.approx(0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))


def test_the_ratio_of_perplexities_is_over_the_tokens_that_came() -> None:
    close = closeness([block(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]]))])
    assert close.perplexity_ratio == pytest.approx(2)


def test_top_1_is_the_share_of_equal_choices() -> None:
    reference_TV = np.array([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 1.0]])
    found_TV = np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    assert closeness([block(reference_TV, found_TV)]).top1 == 0.75


def test_a_text_may_end_with_its_last_position() -> None:
    logits_TV = RANDOM.normal(size=(2, 4))
    last = Block(logits_TV, logits_TV, np.zeros(1, dtype=np.int64))
    assert closeness([last]).positions == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_pass_no_gate(value: float) -> None:
    reference_TV = RANDOM.normal(size=(4, 8))
    found_TV = reference_TV.copy()
    found_TV[1, 2] = value
    close = closeness([block(reference_TV, reference_TV), block(reference_TV, found_TV)])
    assert close.nmse == np.inf
    assert close.kld == np.inf
    assert close.perplexity_ratio > 1e300


def test_large_logits_do_not_overflow() -> None:
    assert np.isfinite(log_softmax(np.array([[1e4, -1e4]]))).all()

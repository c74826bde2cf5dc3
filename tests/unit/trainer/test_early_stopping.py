"""Patience counts evaluations since something got better; lower is better."""

from __future__ import annotations

from puna_trainer.config.hyperparameters import EarlyStopping
from puna_trainer.early_stopping import Patience


def after(metrics: list[float], chosen: EarlyStopping | None) -> Patience:
    patience = Patience()
    for metric in metrics:
        patience = patience.after(metric, chosen)
    return patience


def test_it_is_exhausted_after_as_many_evaluations_without_improvement() -> None:
    chosen = EarlyStopping(patience=2)
    assert not after([3, 2, 2.5], chosen).is_exhausted(chosen)
    assert after([3, 2, 2.5, 2], chosen).is_exhausted(chosen)
    assert not after([3, 2, 2.5, 1.9], chosen).is_exhausted(chosen)


def test_less_than_the_least_change_is_no_improvement_but_still_the_best() -> None:
    chosen = EarlyStopping(patience=2, min_delta=0.5)
    patience = after([3, 2.8, 2.6], chosen)
    assert patience.is_exhausted(chosen)
    assert patience.best == 2.6


def test_slow_improvement_adds_up() -> None:
    chosen = EarlyStopping(patience=2, min_delta=0.5)
    assert not after([3, 2.8, 2.4, 2.3], chosen).is_exhausted(chosen)


def test_without_a_choice_it_never_is() -> None:
    assert not after([1.0] * 50, None).is_exhausted(None)

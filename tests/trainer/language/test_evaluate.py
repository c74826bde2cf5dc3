"""Evaluation: figures that can be checked by hand, each beside its yardstick."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.evaluate import completions_of, evaluate
from puna_trainer.language.evaluation_report import Verdict, compared
from puna_trainer.language.generate import Choose
from puna_trainer.language.loss import mean_loss, perplexity_of
from puna_trainer.language.model import Llama
from puna_trainer.language.pretrain import Training, pretrain
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.language.writers import Writer, Written
from tests.trainer.language.runs import context_of, language_run, sentences, write_data
from tests.trainer.language.shapes import shape

QUESTIONS = {
    "questions": [
        {"prompt": "the red is", "expected": " der"},
        {"prompt": "the tree is", "expected": "no such thing"},
    ]
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    run = language_run(output, hyperparameters={"epochs": 10, "learningRate": 0.01})
    write_data(output, sentences(30), sentences(8, seed=1))
    make_tokenizer(context_of(run))
    pretrain(context_of(run))
    return output


def measured(output: Path, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return what `evaluation.json` says after a run's evaluation."""
    context = context_of(language_run(output, evaluation=evaluation))
    evaluate(context)
    found: dict[str, Any] = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert context.reporter.metrics == found["metrics"]
    return found


def test_each_figure_stands_beside_what_chance_and_a_bigram_reach(trained: Path) -> None:
    found = measured(trained, QUESTIONS)
    assert found["model"]["perplexity"] < found["bigram"]["perplexity"]
    assert found["bigram"]["perplexity"] < found["chance"]["perplexity"]
    assert found["chance"]["perplexity"] == pytest.approx(290)
    for name in ("model", "bigram", "chance"):
        bits = math.log2(found[name]["perplexity"]) * (found["tokens"] - 1)
        assert found[name]["bitsPerByte"] == pytest.approx(bits / found["textBytes"])
    held_out = sentences(8, seed=1)[1::2]
    assert found["documents"] == 4
    assert found["textBytes"] == sum(len(text) for text in held_out)
    assert "completions" not in found


def test_a_question_is_right_if_what_has_to_come_comes(trained: Path) -> None:
    right, wrong = measured(trained, QUESTIONS)["answers"]
    assert right["isRight"]
    assert " der" in right["written"]
    assert not wrong["isRight"]


def test_what_was_measured_twice_is_the_same(trained: Path) -> None:
    assert measured(trained, QUESTIONS) == measured(trained, QUESTIONS)


def test_a_regression_ends_the_run_after_the_report_was_written(trained: Path) -> None:
    evaluation = {"baselinePerplexity": 1.0, "maxRegressionPercent": 0}
    with pytest.raises(TrainingError, match=r"evaluation\.baselinePerplexity") as raised:
        measured(trained, evaluation)
    assert raised.value.reason is FailureReason.EVALUATION_REGRESSED
    found = json.loads((trained / "evaluation.json").read_text(encoding="utf-8"))
    assert found["comparison"]["verdict"] == "Regressed"


@pytest.mark.parametrize(
    ("perplexity", "verdict"),
    [(10.4, Verdict.HELD), (10.5, Verdict.HELD), (10.6, Verdict.REGRESSED)],
)
def test_a_perplexity_may_be_worse_by_what_is_allowed(perplexity: float, verdict: Verdict) -> None:
    assert compared(perplexity, 10.0, 5).verdict is verdict


def test_without_a_checkpoint_the_way_out_is_named(tmp_path: Path) -> None:
    run = language_run(tmp_path)
    write_data(tmp_path, sentences(30), sentences(4, seed=1))
    make_tokenizer(context_of(run))
    with pytest.raises(TrainingError, match=r"there is no checkpoint.*add pretrain"):
        evaluate(context_of(run))


def test_the_loss_of_a_row_counts_every_token_but_the_first_once() -> None:
    torch.manual_seed(0)
    model = Llama(shape(context_length=8))
    ids_N = np.random.default_rng(0).integers(0, 320, 30).astype(np.uint16)
    expected = []
    with torch.no_grad():
        for begin in range(0, 29, 8):
            row = torch.from_numpy(ids_N[begin : begin + 9].astype(np.int64))
            logits_TV = model(row[None, :-1])[0]
            expected += torch.nn.functional.cross_entropy(
                logits_TV, row[1:], reduction="none"
            ).tolist()
    assert len(expected) == 29
    for sequences in (1, 2, 16):
        found = mean_loss(
            model,
            ids_N,
            8,
            sequences=sequences,
            device=torch.device("cpu"),
            dtype=torch.float32,
            group=ProcessGroup(),
        )
        assert found == pytest.approx(sum(expected) / 29, rel=1e-5)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    run = language_run(tmp_path)
    write_data(tmp_path, sentences(12), sentences(4, seed=1))
    make_tokenizer(context_of(run))
    training = Training(context_of(run))
    training.take_step()
    with torch.no_grad():
        training.model.get_parameter("model.norm.weight")[0] = math.inf
    training.save()
    with pytest.raises(TrainingError, match="on the held-out text is nan") as raised:
        evaluate(context_of(run))
    assert raised.value.reason is FailureReason.NON_FINITE_LOSS
    assert not (tmp_path / "evaluation.json").exists()


@pytest.mark.parametrize("loss", [2.5, 1e4])
def test_a_perplexity_is_a_number_however_bad_it_is(loss: float) -> None:
    assert math.log(perplexity_of(loss)) == pytest.approx(min(loss, 700))


def says(text: str) -> Writer:
    def write(_prompt: str, _limit: int, _choose: Choose) -> Written:
        return Written(text, ended=False)

    return write


def test_completions_are_counted_for_the_model_and_for_the_bigram() -> None:
    module = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(60))
    found = completions_of([module], says("\n    return 1\n"), says(")(\n"), limit=9, seed=0)
    assert found is not None
    assert (found.count, found.parsed, found.bigram_parsed) == (50, 50, 0)


def test_prose_has_no_completions() -> None:
    assert completions_of(["Once upon a time."], says(""), says(""), limit=9, seed=0) is None

"""The stage `evaluate`: what the best checkpoint is worth, on text that nothing was chosen by.

Benchmarks of small models sit at chance, hence what chance and a bigram of the same tokens reach
stands beside each figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import torch

from puna_trainer.config.output import Question
from puna_trainer.device import compute_type
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import write_json
from puna_trainer.language.bigram import Bigram
from puna_trainer.language.corpus import DATA, open_corpus
from puna_trainer.language.evaluation_report import (
    Answer,
    Completions,
    EvaluationReport,
    Measured,
    Verdict,
    compared,
)
from puna_trainer.language.generate import Sampler, greedy
from puna_trainer.language.loss import mean_loss, perplexity_of
from puna_trainer.language.python_code import Opening, completed, openings, parses
from puna_trainer.language.tokens import Part, TokenFile, read_texts, selection_of
from puna_trainer.language.trained import model_of
from puna_trainer.language.writers import Writer, bigram_writer, model_writer
from puna_trainer.optimizer import non_finite_measure
from puna_trainer.randomness import generator
from puna_trainer.stage import StageContext

NAME: Final = "evaluation.json"
SEQUENCES: Final = 16
"""Windows that are measured at once."""
BIGRAM_TOKENS: Final = 20_000_000
"""Most training tokens that the bigram counts: more would take memory and tell little."""
ANSWER_TOKENS: Final = 64
"""Most tokens of an answer."""
COMPLETIONS: Final = 50
"""Functions that are completed."""
COMPLETION_TOKENS: Final = 128
"""Most tokens of a body."""
TEMPERATURE: Final = 0.5
"""Of the tokens of a body: low enough for a small model not to stumble over its rarest tokens, high
enough for a bigram not to go round in circles."""


def evaluate(context: StageContext) -> None:
    """Measure the best checkpoint; `evaluation.json` is what is left.

    A run that learns nothing measures the model that it names.

    Raises:
        TrainingError: EvaluationRegressed, after the report was written; NonFiniteLoss; BadConfig,
            there is no such model.
    """
    run, device = context.run, context.device
    # One process evaluates, whoever waits for it.
    corpus = open_corpus(replace(context, group=ProcessGroup()), Part.TRAIN, Part.HELD_OUT)
    note, model = model_of(run, corpus.start, device)
    held_out = corpus.parts[Part.HELD_OUT]
    loss = mean_loss(
        model,
        held_out.ids_N,
        model.shape.context_length,
        sequences=SEQUENCES,
        device=device,
        dtype=compute_type(run.hyperparameters.precision, device),
        group=ProcessGroup(),
        look=lambda done, count: context.reporter.message(
            f"measuring the model: {done} of {count} windows"
        ),
    )
    if not math.isfinite(loss):
        raise non_finite_measure("the loss of the model on the held-out text", loss)
    context.reporter.message("counting pairs of tokens")
    bigram = Bigram.of(corpus.parts[Part.TRAIN].ids_N[:BIGRAM_TOKENS], model.shape.vocabulary_size)
    writers = (model_writer(model, corpus.codec), bigram_writer(bigram, corpus.codec))
    texts = read_texts(selection_of(context.folder / DATA, Part.HELD_OUT))
    context.reporter.message("asking questions")
    wanted, measured = run.evaluation, measured_of(loss, held_out)
    most = model.shape.context_length // 2  # the other half is for what is gone on with
    report = EvaluationReport(
        checkpoint=note,
        documents=held_out.documents,
        tokens=len(held_out.ids_N),
        text_bytes=held_out.text_bytes,
        model=measured,
        bigram=measured_of(bigram.loss(held_out.ids_N), held_out),
        chance=measured_of(math.log(corpus.codec.size), held_out),
        answers=tuple(
            answered(question, *writers, limit=min(ANSWER_TOKENS, most))
            for question in wanted.questions
        ),
        completions=completions_of(
            texts,
            *writers,
            limit=min(COMPLETION_TOKENS, most),
            seed=run.hyperparameters.seed,
        ),
        comparison=wanted.baseline_perplexity
        and compared(
            measured.perplexity, wanted.baseline_perplexity, wanted.max_regression_percent
        ),
    )
    write_json(context.folder / NAME, report.document())
    context.reporter.metrics |= report.metrics()
    if report.comparison and report.comparison.verdict is Verdict.REGRESSED:
        raise TrainingError(
            FailureReason.EVALUATION_REGRESSED,
            f"the perplexity is {measured.perplexity:.4g}, and evaluation.baselinePerplexity with "
            f"maxRegressionPercent allows {report.comparison.highest_allowed:.4g}; the checkpoint "
            "is kept, nothing is exported",
        )


def measured_of(loss: float, part: TokenFile) -> Measured:
    """Return the measures that a mean loss of a part's tokens means. Pure.

    Separators count as tokens that have to be predicted, but have no bytes.
    """
    bits = loss * (len(part.ids_N) - 1) / math.log(2)
    return Measured(perplexity=perplexity_of(loss), bits_per_byte=bits / part.text_bytes)


def answered(question: Question, model: Writer, bigram: Writer, *, limit: int) -> Answer:
    """Ask a question; the most likely tokens are the answer."""
    written = model(question.prompt, limit, greedy).text
    return Answer(
        prompt=question.prompt,
        expected=question.expected,
        written=written,
        is_right=question.expected in written,
        bigram_is_right=question.expected in bigram(question.prompt, limit, greedy).text,
    )


def completions_of(
    texts: Iterable[str], model: Writer, bigram: Writer, *, limit: int, seed: int
) -> Completions | None:
    """Have the bodies of functions written, and count those that are Python; None without any.

    Both writers draw tokens by their probabilities.
    """
    found = [opening for text in texts for opening in openings(text)]
    if not found:
        return None
    chosen = torch.randperm(len(found), generator=generator(seed, "functions"))[:COMPLETIONS]
    parsed = [
        sum(
            parses(body_written(found[index], writer, limit, generator(seed, "body", index)))
            for index in chosen.tolist()
        )
        for writer in (model, bigram)
    ]
    return Completions(count=len(chosen), parsed=parsed[0], bigram_parsed=parsed[1])


def body_written(opening: Opening, writer: Writer, limit: int, random: torch.Generator) -> str:
    """Return a function whose body was written."""
    written = writer(opening.before + opening.header, limit, Sampler(TEMPERATURE, random))
    return completed(opening.header, written.text, ended=written.ended)

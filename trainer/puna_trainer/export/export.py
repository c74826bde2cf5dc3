"""The stage `export` of a language model: files, their proofs, a card, and the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from puna_trainer.config.refusals import shape_refusals
from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.export.card import model_card
from puna_trainer.export.corpus import TEXTS
from puna_trainer.export.language_model import make_files
from puna_trainer.export.registration import UNPROVED, attest, begin, describe, register
from puna_trainer.export.requirements import require_llama
from puna_trainer.export.trained import read_trained
from puna_trainer.language.corpus import DATA
from puna_trainer.language.tokens import Part, read_texts, selection_of
from puna_trainer.stage import StageContext


def export(context: StageContext) -> None:
    """Write the model files of a run, prove them, and register them.

    Raises:
        TrainingError: ParityFailed, naming file and measure; or the run's fields, the volume or the
            upload do not allow it.
    """
    run = context.run

    def tell(message: str) -> None:
        # A signal that comes while llama.cpp logs is not raised through it.
        context.stop.check()
        context.reporter.message(message)

    require_llama(run.export)
    trained = read_trained(context)
    for refusal in shape_refusals(trained.shape, run.export.types):
        raise TrainingError(FailureReason.BAD_CONFIG, f"{refusal.field}: {refusal.message}")
    try:
        place = begin(context.folder)
        attestation = attest(context, weights=trained.digest(), checkpoint=trained.checkpoint)
        artifacts = make_files(
            run,
            trained,
            place,
            documents=_documents(context.folder / DATA),
            attestation=attestation,
            tell=tell,
        )
        card = model_card(
            run,
            trained.shape,
            artifacts,
            metrics=context.reporter.metrics,
            attestation=attestation,
        )
        describe(place, card, attestation)
        register(context, place, artifacts, attestation)
    except OSError as error:
        raise output_failure(error, context.folder / UNPROVED) from error


def _documents(data: Path) -> Iterator[str]:
    """Yield texts that the model did not learn from; the corpus where the run has no data."""
    if (data / "validation.jsonl").is_file():
        yield from read_texts(selection_of(data, Part.HELD_OUT))
    yield from TEXTS

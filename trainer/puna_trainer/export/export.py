"""The stage `export` of a language model: files, their proofs, a card, and the manifest.

Everything is written beside the folder `export` and moves there in one step, once all of it is
proved: `export/manifest.json` never names a file that was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from puna_trainer import __version__
from puna_trainer.artifacts import FOLDER, publish, write_manifest
from puna_trainer.config.output import ArtifactType
from puna_trainer.config.refusals import shape_refusals
from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.export.attestation import Attestation
from puna_trainer.export.card import model_card
from puna_trainer.export.corpus import TEXTS
from puna_trainer.export.language_model import make_files
from puna_trainer.export.requirements import require_llama
from puna_trainer.export.trained import Trained, read_trained
from puna_trainer.files import write_json, write_text
from puna_trainer.hashes import code_hash, config_hash, library_versions
from puna_trainer.language.corpus import DATA
from puna_trainer.language.tokens import Part, read_texts, selection_of
from puna_trainer.progress import Artifact, Hashes
from puna_trainer.stage import StageContext
from puna_trainer.storage.upload import upload

CARD: Final = "card.md"
ATTESTATION: Final = "attestation.json"
UNPROVED: Final = "export.unproved"
"""Where files lie until they are proved; those that fail stay there to be looked at."""


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
    place = context.folder / UNPROVED
    try:
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        attestation = _attest(context, trained)
        artifacts = make_files(
            run,
            trained,
            place,
            documents=_documents(context.folder / DATA),
            attestation=attestation,
            tell=tell,
        )
        _describe(context, trained, attestation, artifacts, place)
        artifacts = publish(place, context.folder / FOLDER, artifacts, weights=attestation.weights)
        artifacts = _upload(context, artifacts)
        write_manifest(context.folder / FOLDER, artifacts)
    except OSError as error:
        raise output_failure(error, place) from error
    context.reporter.artifacts = artifacts


def _documents(data: Path) -> Iterator[str]:
    """Yield texts that the model did not learn from; the corpus where the run has no data."""
    if (data / "validation.jsonl").is_file():
        yield from read_texts(selection_of(data, Part.HELD_OUT))
    yield from TEXTS


def _attest(context: StageContext, trained: Trained) -> Attestation:
    hashes = context.reporter.hashes
    return Attestation(
        name=context.run.name,
        trainer=__version__,
        seed=context.run.hyperparameters.seed,
        hashes=hashes or Hashes(config=config_hash(context.run), code=code_hash()),
        weights=trained.digest(),
        checkpoint=trained.checkpoint,
        libraries=library_versions(),
    )


def _describe(
    context: StageContext,
    trained: Trained,
    attestation: Attestation,
    artifacts: tuple[Artifact, ...],
    folder: Path,
) -> None:
    """Write card and attestation beside the files, and into the folder that goes to a hub."""
    card = model_card(
        context.run,
        trained.shape,
        artifacts,
        metrics=context.reporter.metrics,
        attestation=attestation,
    )
    document = attestation.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_text(folder / CARD, card)
    write_json(folder / ATTESTATION, document)
    layout = folder / ArtifactType.SAFETENSORS
    if layout.is_dir():
        write_text(layout / "README.md", card)
        write_json(layout / ATTESTATION, document)


def _upload(context: StageContext, artifacts: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
    """Copy what is registered, with card and attestation, and say where each copy lies."""
    uri, folder = context.run.upload, context.folder
    if uri is None or not artifacts:
        return artifacts
    sent = tuple(
        artifact.model_copy(
            update={
                "uploaded_to": upload(folder / artifact.path, uri, report=context.reporter.message)
            }
        )
        for artifact in artifacts
    )
    published = (folder / artifacts[0].path).parent
    for name in (CARD, ATTESTATION):
        upload(published / name, uri, report=context.reporter.message)
    return sent

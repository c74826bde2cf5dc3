"""Registration: where the files of an export lie, what travels with them, and their copies.

Everything is written beside the folder `export` and moves there in one step, once all of it is
proved: `export/manifest.json` never names a file that was not.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from puna_trainer import __version__
from puna_trainer.artifacts import FOLDER, publish, write_manifest
from puna_trainer.config.output import ArtifactType
from puna_trainer.export.attestation import Attestation
from puna_trainer.files import write_json, write_text
from puna_trainer.hashes import code_hash, config_hash, library_versions
from puna_trainer.progress import Artifact, CheckpointNote, Hashes
from puna_trainer.stage import StageContext
from puna_trainer.storage.upload import upload

CARD: Final = "card.md"
ATTESTATION: Final = "attestation.json"
UNPROVED: Final = "export.unproved"
"""Where files lie until they are proved; those that fail stay there to be looked at."""


def begin(output: Path) -> Path:
    """Return an empty folder for the files of an export.

    Raises:
        OSError: the volume does not take it.
    """
    place = output / UNPROVED
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
    return place


def attest(
    context: StageContext, *, weights: str, checkpoint: CheckpointNote | None
) -> Attestation:
    """Return where weights come from.

    Args:
        context: what the stage is given.
        weights: their digest.
        checkpoint: the one that they are from; absent if the run did not train.
    """
    hashes = context.reporter.hashes
    return Attestation(
        name=context.run.name,
        trainer=__version__,
        seed=context.run.hyperparameters.seed,
        hashes=hashes or Hashes(config=config_hash(context.run), code=code_hash()),
        weights=weights,
        checkpoint=checkpoint,
        libraries=library_versions(),
    )


def describe(place: Path, card: str, attestation: Attestation) -> None:
    """Write card and attestation beside the files, and into the folder that goes to a hub.

    Raises:
        OSError: the volume does not take it.
    """
    document = attestation.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_text(place / CARD, card)
    write_json(place / ATTESTATION, document)
    layout = place / ArtifactType.SAFETENSORS
    if layout.is_dir():
        write_text(layout / "README.md", card)
        write_json(layout / ATTESTATION, document)


def register(
    context: StageContext, place: Path, artifacts: tuple[Artifact, ...], attestation: Attestation
) -> None:
    """Move files to where they stay, copy those that were proved if that is asked for, list them.

    Args:
        context: what the stage is given.
        place: where the files are.
        artifacts: those that were proved, with paths below `place`.
        attestation: where their weights come from.

    Raises:
        TrainingError: UploadFailed.
        OSError: the volume does not take it.
    """
    folder = context.folder / FOLDER
    artifacts = publish(place, folder, artifacts, weights=attestation.weights)
    artifacts = _upload(context, artifacts)
    write_manifest(folder, artifacts)
    context.reporter.artifacts = artifacts


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

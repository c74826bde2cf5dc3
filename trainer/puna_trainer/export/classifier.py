"""The stage `export` of a classifier: the best checkpoint's weights, and what it takes to build it.

It is written beside the folder `export` and moves there in one step, as files of a language model
do.
"""

from __future__ import annotations

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.export.card import classifier_card
from puna_trainer.export.registration import UNPROVED, attest, begin, describe, register
from puna_trainer.files import file_digest
from puna_trainer.images.artifact import WEIGHTS, write_classifier
from puna_trainer.images.models import description_of
from puna_trainer.progress import Artifact
from puna_trainer.stage import StageContext
from puna_trainer.tensors import weights_digest


def export(context: StageContext) -> None:
    """Write the classifier of a run, and register it.

    Raises:
        TrainingError: BadConfig, there is no checkpoint; DiskFull, OutputUnusable or UploadFailed.
    """
    store = Store(context.folder / CHECKPOINTS, context.run.checkpoint, None)
    note = store.best_note()
    if note is None:
        raise TrainingError(
            FailureReason.BAD_CONFIG, "stages: there is no checkpoint to export; add train"
        )
    state = store.read(note)
    try:
        place = begin(context.folder)
        layout = place / ArtifactType.SAFETENSORS
        write_classifier(layout, state.description, state.model)
        artifact = Artifact(
            name=ArtifactType.SAFETENSORS,
            path=layout.name,
            type=ArtifactType.SAFETENSORS,
            sha256=file_digest(layout / WEIGHTS),
            size_bytes=(layout / WEIGHTS).stat().st_size,
        )
        attestation = attest(context, weights=weights_digest(state.model), checkpoint=note)
        card = classifier_card(
            context.run,
            description_of(state.description),
            artifact,
            metrics=context.reporter.metrics,
            attestation=attestation,
        )
        describe(place, card, attestation)
        register(context, place, (artifact,), attestation)
    except OSError as error:
        raise output_failure(error, context.folder / UNPROVED) from error

"""Export of a classifier: the best checkpoint's weights, and what it takes to build the network."""

from __future__ import annotations

from puna_trainer.artifacts import FOLDER, write_manifest
from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason
from puna_trainer.files import file_digest
from puna_trainer.images.artifact import WEIGHTS, write_classifier
from puna_trainer.progress import Artifact
from puna_trainer.stage import StageContext
from puna_trainer.storage.upload import upload


def export(context: StageContext) -> None:
    """Write the classifier of a run, and upload it if that is asked for.

    Raises:
        TrainingError: DiskFull, OutputUnusable or UploadFailed.
    """
    state = Store(context.folder / CHECKPOINTS, context.run.checkpoint, None).best()
    if state is None:
        raise TrainingError(
            FailureReason.BAD_CONFIG, "stages: there is no checkpoint to export; add train"
        )
    path = f"{FOLDER}/{ArtifactType.SAFETENSORS}"
    folder = context.folder / path
    try:
        write_classifier(folder, state.description, state.model)
    except OSError as error:
        raise output_failure(error, folder) from error
    artifact = Artifact(
        name=ArtifactType.SAFETENSORS,
        path=path,
        type=ArtifactType.SAFETENSORS,
        sha256=file_digest(folder / WEIGHTS),
        size_bytes=(folder / WEIGHTS).stat().st_size,
    )
    if context.run.upload is not None:
        place = f"{context.run.upload.rstrip('/')}/{ArtifactType.SAFETENSORS}"
        copy = upload(folder, place, report=context.reporter.message)
        artifact = artifact.model_copy(update={"uploaded_to": copy})
    write_manifest(context.folder / FOLDER, (artifact,))
    context.reporter.artifacts = (artifact,)

"""Requirements: what an export needs on this machine, asked for before anything is trained."""

from __future__ import annotations

from puna_trainer.config.output import ArtifactType, Export
from puna_trainer.config.refusals import K_QUANTS
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.llama import quiet_library


def require_llama(export: Export) -> None:
    """Load llama.cpp if the export will need it.

    Raises:
        TrainingError: it is not there; hours of training would end in files that nobody can prove.
    """
    need = _need(export)
    if need is None:
        return
    try:
        quiet_library()
    except (ImportError, OSError, RuntimeError) as error:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{need}, and llama-cpp-python does not load here ({error}); use the trainer's image, "
            "or install it, or take GGUF out of export.types",
        ) from error


def _need(export: Export) -> str | None:
    """Return which field needs llama.cpp; None if none does."""
    ggufs = [kind for kind in export.types if kind is not ArtifactType.SAFETENSORS]
    if export.verify and ggufs:
        return "export.verify compares GGUF files with llama.cpp"
    made_by_llama = sorted(K_QUANTS.intersection(ggufs))
    if made_by_llama:
        return f"export.types has {' and '.join(made_by_llama)}, which llama.cpp makes"
    return None

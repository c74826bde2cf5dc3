"""Files of a language model: each is written, proved, and only then counted as made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.run import Run
from puna_trainer.export.attestation import Attestation
from puna_trainer.export.gates import parity_failure
from puna_trainer.export.gguf_file import WRITTEN, write_gguf
from puna_trainer.export.huggingface import WEIGHTS, write_folder
from puna_trainer.export.proof import prove
from puna_trainer.export.quantize import quantize
from puna_trainer.export.reference import Reference
from puna_trainer.export.tensor_types import bits_per_weight, read_tensors
from puna_trainer.export.trained import Trained
from puna_trainer.export.vocabulary import Vocabulary
from puna_trainer.files import file_digest
from puna_trainer.progress import Artifact, Parity

SAFETENSORS: Final = "safetensors"


def make_files(
    run: Run,
    trained: Trained,
    folder: Path,
    *,
    documents: Iterable[str],
    attestation: Attestation,
    tell: Callable[[str], None],
) -> tuple[Artifact, ...]:
    """Write every file that a run asks for into a folder, and prove each GGUF.

    F32 is written and proved in any case where there is a GGUF: what it fails by is a mistake of
    the export, and what another type alone fails by is the loss of that type.

    Args:
        run: what was asked for.
        trained: the model.
        folder: where the files go.
        documents: texts that the model did not learn from.
        attestation: where the weights come from.
        tell: takes what is being done.

    Returns:
        The files, in the order in which they were asked for, with paths below `folder`; none
        without `export.verify`.

    Raises:
        TrainingError: a file does not behave like the model. It is still there.
    """
    made: dict[ArtifactType, Artifact] = {}
    kinds = run.export.types
    if ArtifactType.SAFETENSORS in kinds:
        tell("writing safetensors")
        made[ArtifactType.SAFETENSORS] = _safetensors(trained, folder / SAFETENSORS)
    ggufs = [kind for kind in kinds if kind is not ArtifactType.SAFETENSORS]
    if ggufs:
        reference = None
        if run.export.verify:
            tokenizer = Tokenizer.from_file(str(trained.tokenizer / "tokenizer.json"))
            reference = Reference(trained.shape, trained.weights, tokenizer, documents)
        base = folder / f"{run.name}-{ArtifactType.F32}.gguf"
        for kind in sorted({ArtifactType.F32, *ggufs}, key=list(ArtifactType).index):
            path = folder / f"{run.name}-{kind}.gguf"
            tell(f"writing {path.name}")
            if kind in WRITTEN:
                write_gguf(
                    path,
                    kind=kind,
                    name=run.name,
                    shape=trained.shape,
                    vocabulary=trained.vocabulary,
                    weights=trained.weights,
                    notes=attestation.notes(),
                )
            else:
                quantize(base, path, kind)
            if reference:
                tell(f"comparing {path.name} with the model")
                made[kind] = _proved(path, kind, reference, trained.vocabulary)
        if ArtifactType.F32 not in ggufs:
            base.unlink()
    return tuple(made[kind] for kind in kinds) if run.export.verify else ()


def _safetensors(trained: Trained, folder: Path) -> Artifact:
    write_folder(
        folder,
        shape=trained.shape,
        vocabulary=trained.vocabulary,
        weights=trained.weights,
        tokenizer=trained.tokenizer,
    )
    return _artifact(ArtifactType.SAFETENSORS, folder, folder / WEIGHTS)


def _proved(
    path: Path, kind: ArtifactType, reference: Reference, vocabulary: Vocabulary
) -> Artifact:
    proof = prove(path, kind, reference, vocabulary)
    if proof.failures:
        raise parity_failure(path.name, proof.failures)
    return _artifact(
        kind, path, path, bits=bits_per_weight(read_tensors(path)), parity=proof.parity
    )


def _artifact(
    kind: ArtifactType,
    path: Path,
    weights: Path,
    *,
    bits: float | None = None,
    parity: Parity | None = None,
) -> Artifact:
    return Artifact(
        name=str(kind),
        path=path.name,
        type=kind,
        sha256=file_digest(weights),
        size_bytes=weights.stat().st_size,
        bits_per_weight=bits,
        parity=parity,
    )

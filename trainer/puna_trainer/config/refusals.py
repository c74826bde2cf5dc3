"""Refusals: what no schema says of a run, but can be said before anything is started. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from puna_trainer.config.dataset import DatasetFormat
from puna_trainer.config.hyperparameters import Augmentation, Precision
from puna_trainer.config.model import Model
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.config.run import STAGES_OF, Device, Run, Task
from puna_trainer.config.shape import Shape, shape_of

K_QUANTS: Final = frozenset({ArtifactType.Q4_K_M, ArtifactType.Q5_K_M, ArtifactType.Q6_K})
K_BLOCK: Final = 256
"""Weights of a K-quant's block: a row that is no multiple of it would silently be stored in another
type (llama.cpp, `llama_tensor_get_type`)."""
FOREIGN_NAMES: Final = ("phi-3", "phi3")
"""Parts of a GGUF's name by which llama.cpp looks for tokens that a model of ours has not: it would
not load (`llama-vocab.cpp`)."""
BLOCK: Final = 32
"""Weights of a block of Q8_0."""

FORMATS: Final[dict[Task, frozenset[DatasetFormat]]] = {
    Task.IMAGE_CLASSIFICATION: frozenset(
        {
            DatasetFormat.IDX,
            DatasetFormat.IMAGE_FOLDER,
            DatasetFormat.CSV,
            DatasetFormat.PARQUET,
        }
    ),
    Task.LANGUAGE_MODEL: frozenset(
        {DatasetFormat.TEXT, DatasetFormat.JSONL, DatasetFormat.CSV, DatasetFormat.PARQUET}
    ),
}
"""Formats that a task can read."""


class Refusal(NamedTuple):
    """One reason against a run."""

    field: str
    """Path of the field, in the spelling of `run.json`."""
    message: str
    """What is wrong, and what would be right."""


def refusals(run: Run) -> tuple[Refusal, ...]:
    """Return everything that stands against a run; empty if it can be started."""
    return tuple(refusal for check in CHECKS for refusal in check(run))


def _format(run: Run) -> Iterator[Refusal]:
    allowed = FORMATS[run.task]
    if run.dataset.format not in allowed:
        yield Refusal(
            "dataset.format",
            f"{run.dataset.format} holds nothing for {run.task}; use {_any_of(allowed)}",
        )


def _stages(run: Run) -> Iterator[Refusal]:
    known = STAGES_OF[run.task]
    names = [stage.name for stage in run.stages]
    for index, name in enumerate(names):
        if name not in known:
            yield Refusal(
                f"stages[{index}].name", f"{name} is no stage of {run.task}; use {_any_of(known)}"
            )
        elif name in names[:index]:
            yield Refusal(f"stages[{index}].name", f"{name} stands there twice")
    ordered = [name for name in known if name in names]
    if [name for name in names if name in known] != ordered and len(set(names)) == len(names):
        yield Refusal("stages", f"the order is {', '.join(ordered)}")


def _image_model(run: Run) -> Iterator[Refusal]:
    if run.task is not Task.IMAGE_CLASSIFICATION:
        return
    if run.model.name is None:
        yield Refusal("model.name", "required for ImageClassification")
    for field in _shape_fields(run.model):
        yield Refusal(f"model.{field}", "is for LanguageModel; an image model has a name alone")


def _language_model(run: Run) -> Iterator[Refusal]:
    if run.task is not Task.LANGUAGE_MODEL:
        return
    if run.model.name is not None:
        yield Refusal("model.name", "is for ImageClassification")
    given = _shape_fields(run.model)
    if run.model.uri is not None:
        for field in given:
            if field != "uri":
                yield Refusal(f"model.{field}", "comes from the folder that model.uri names")
        if StageName.TOKENIZER in {stage.name for stage in run.stages}:
            yield Refusal("stages", "the tokenizer comes from the folder that model.uri names")
        return
    missing = [
        field
        for field in ("layers", "width", "heads", "contextLength", "vocabularySize")
        if field not in given
    ]
    for field in missing:
        yield Refusal(f"model.{field}", "required where there is no model.uri")
    if not missing:
        yield from shape_refusals(shape_of(run.model), run.export.types)


def shape_refusals(shape: Shape, types: tuple[ArtifactType, ...]) -> Iterator[Refusal]:
    """Yield everything that stands against a shape, and against it in these types of files."""
    if shape.width % shape.heads:
        yield Refusal("model.width", f"{shape.width} is no multiple of {shape.heads} heads")
        return
    if shape.head_width % 2:
        yield Refusal(
            "model.heads",
            f"a head would be {shape.head_width} wide; rotary positions need an even width",
        )
    if shape.heads % shape.kv_heads:
        yield Refusal("model.kvHeads", f"{shape.kv_heads} is no divisor of {shape.heads} heads")
    wanted = K_QUANTS.intersection(types)
    block = K_BLOCK if wanted else BLOCK if ArtifactType.Q8_0 in types else 1
    named = _any_of(wanted) if wanted else ArtifactType.Q8_0
    for field, value in (("width", shape.width), ("feedForward", shape.feed_forward)):
        if value % block:
            yield Refusal(
                f"model.{field}",
                f"{value} is no multiple of {block}, which {named} needs; "
                f"use {value // block * block or block} or {(value // block + 1) * block}",
            )


def _export(run: Run) -> Iterator[Refusal]:
    ggufs = [kind for kind in run.export.types if kind is not ArtifactType.SAFETENSORS]
    for text in FOREIGN_NAMES:
        if ggufs and text in run.name:
            yield Refusal(
                "name", f"llama.cpp takes a model whose name has {text} in it for another one"
            )
    for index, kind in enumerate(run.export.types):
        if kind in run.export.types[:index]:
            yield Refusal(f"export.types[{index}]", f"{kind} stands there twice")
        if run.task is Task.IMAGE_CLASSIFICATION and kind is not ArtifactType.SAFETENSORS:
            yield Refusal(
                f"export.types[{index}]", f"{kind} holds language models; use safetensors"
            )


def _hyperparameters(run: Run) -> Iterator[Refusal]:
    chosen = run.hyperparameters
    if chosen.batch_size % chosen.accumulation_steps:
        yield Refusal(
            "hyperparameters.accumulationSteps",
            f"{chosen.accumulation_steps} is no divisor of batchSize {chosen.batch_size}",
        )
    if chosen.precision is Precision.FLOAT16 and run.device not in {Device.CUDA, Device.AUTO}:
        yield Refusal("hyperparameters.precision", f"float16 needs cuda, {run.device} has bfloat16")
    if run.task is Task.LANGUAGE_MODEL and chosen.augmentation is not Augmentation.NONE:
        yield Refusal("hyperparameters.augmentation", "varies images; a LanguageModel has none")


def _texts(run: Run) -> Iterator[Refusal]:
    if run.preparation.min_characters > run.preparation.max_characters:
        yield Refusal("preparation.minCharacters", "is more than maxCharacters")
    if run.task is Task.LANGUAGE_MODEL:
        if run.evaluation.min_accuracy_percent is not None:
            yield Refusal("evaluation.minAccuracyPercent", "is for ImageClassification")
        return
    if run.preparation.model_fields_set:
        yield Refusal("preparation", "is for texts; an ImageClassification has none")
    if run.evaluation.questions:
        yield Refusal("evaluation.questions", "are for a LanguageModel")
    if run.evaluation.baseline_perplexity is not None:
        yield Refusal("evaluation.baselinePerplexity", "is for a LanguageModel")


Check = Callable[[Run], Iterator[Refusal]]

CHECKS: Final[tuple[Check, ...]] = (
    _format,
    _stages,
    _image_model,
    _language_model,
    _export,
    _hyperparameters,
    _texts,
)
"""In the order of what a user should hear first."""


def _shape_fields(model: Model) -> list[str]:
    """Return the fields of a language model that are given, in the spelling of `run.json`."""
    given = model.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    return [field for field in given if field != "name"]


def _any_of(
    names: frozenset[DatasetFormat] | frozenset[ArtifactType] | tuple[StageName, ...],
) -> str:
    return " or ".join(sorted(names))

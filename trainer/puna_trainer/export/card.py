"""Model card: what the model is, what it was measured to do, and where it comes from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.run import Run
from puna_trainer.config.shape import Shape
from puna_trainer.export.attestation import Attestation
from puna_trainer.images.models import Description
from puna_trainer.progress import Artifact

_FRONT: tuple[str, ...] = (
    "---",
    "library_name: transformers",
    "pipeline_tag: text-generation",
    "tags: [llama, gguf, puna]",
    "---",
)
"""What model hubs read of a language model."""
_FRONT_OF_CLASSIFIER: tuple[str, ...] = (
    "---",
    "pipeline_tag: image-classification",
    "tags: [puna]",
    "---",
)
"""What they read of a classifier."""


def model_card(
    run: Run,
    shape: Shape,
    artifacts: Sequence[Artifact],
    *,
    metrics: Mapping[str, float],
    attestation: Attestation,
) -> str:
    """Return the card of a language model in Markdown.

    Args:
        run: what was asked for.
        shape: shape of the model.
        artifacts: files that passed their proofs.
        metrics: what the evaluation measured.
        attestation: where the weights come from.
    """
    return _joined(
        _FRONT,
        (f"# {run.name}",),
        (_summary(shape),),
        ("## Files", "", *_files(artifacts)),
        ("## Measured", "", *_metrics(metrics)),
        ("## Training", "", *_training(run), *_preparation(run)),
        ("## Where it comes from", "", *_origin(attestation)),
        ("## Limits", "", *_limits(shape)),
    )


def classifier_card(
    run: Run,
    description: Description,
    artifact: Artifact,
    *,
    metrics: Mapping[str, float],
    attestation: Attestation,
) -> str:
    """Return the card of a classifier in Markdown.

    Args:
        run: what was asked for.
        description: the network and its classes.
        artifact: its folder.
        metrics: what the evaluation measured.
        attestation: where the weights come from.
    """
    colours = "gray" if description.channels == 1 else "colours"
    size = f"{description.width} x {description.height} pixels in {colours}"
    summary = (
        f"A classifier of images of {size}: {description.name}. It tells "
        f"{len(description.classes)} classes apart, which `config.json` names."
    )
    limits = (
        "It tells one of its classes of every image, also of one that shows none of them, and "
        "repeats what was in its data, mistakes included. Images of another size are brought to "
        "that of its own."
    )
    return _joined(
        _FRONT_OF_CLASSIFIER,
        (f"# {run.name}",),
        (summary,),
        ("## Files", "", *_layout(artifact)),
        ("## Measured", "", *_metrics(metrics)),
        ("## Training", "", *_training(run)),
        ("## Where it comes from", "", *_origin(attestation)),
        ("## Limits", "", limits),
    )


def _joined(*blocks: Sequence[str]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _layout(artifact: Artifact) -> Iterator[str]:
    yield "| folder | type | MB |"
    yield "|---|---|---|"
    yield f"| {artifact.path} | {artifact.type} | {artifact.size_bytes / 1e6:.1f} |"


def _summary(shape: Shape) -> str:
    return (
        f"A language model with {shape.parameters:,} parameters: a plain Llama of {shape.layers} "
        f"layers, {shape.width} wide, with {shape.heads} heads ({shape.kv_heads} of keys and "
        f"values), {shape.vocabulary_size:,} tokens and a context of {shape.context_length:,}."
    )


def _files(artifacts: Sequence[Artifact]) -> Iterator[str]:
    if not artifacts:
        yield "None is registered: nothing was verified."
        return
    yield "| file | type | MB | bits a weight | NMSE | mean KLD | top 1 | perplexity | greedy |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for artifact in artifacts:
        bits = "" if artifact.bits_per_weight is None else f"{artifact.bits_per_weight:.2f}"
        yield (
            f"| {artifact.path} | {artifact.type} | {artifact.size_bytes / 1e6:.1f} | {bits} | "
            f"{_parity_columns(artifact)} |"
        )
    yield ""
    yield (
        "Each GGUF was loaded by llama.cpp and compared with the trained model: token ids over a "
        "corpus of difficult texts, logits of all positions up to the full context (NMSE, where it "
        "is worst), Kullback-Leibler divergence in nats, share of positions with the same "
        "likeliest token, perplexity over the model's, and greedy texts."
    )


def _parity_columns(artifact: Artifact) -> str:
    parity = artifact.parity
    if parity is None:
        exact = "the trained weights" if artifact.type is ArtifactType.SAFETENSORS else ""
        return f"{exact} | | | |"
    greedy = "same" if parity.greedy_equal else "differs"
    return (
        f"{parity.nmse:.1e} | {parity.kld or 0:.1e} | {parity.top1 or 0:.4f} | "
        f"x {parity.perplexity_ratio or 0:.4f} | {greedy}"
    )


def _metrics(metrics: Mapping[str, float]) -> Iterator[str]:
    if not metrics:
        yield "The run has no stage evaluate."
    for name, value in metrics.items():
        yield f"- {name}: {value:.4g}"


def _training(run: Run) -> Iterator[str]:
    chosen = run.hyperparameters
    yield f"- data: `{run.dataset.uri}` ({run.dataset.format})"
    yield (
        f"- {chosen.epochs} epochs, {chosen.batch_size} examples a step, {chosen.optimizer}, "
        f"{chosen.schedule} schedule"
    )


def _preparation(run: Run) -> Iterator[str]:
    yield f"- duplicates left out: {'yes' if run.preparation.deduplicate else 'no'}"
    yield f"- personal data replaced: {'yes' if run.preparation.redact else 'no'}"


def _origin(attestation: Attestation) -> Iterator[str]:
    yield f"- trainer: puna {attestation.trainer}"
    yield f"- seed: {attestation.seed}"
    for name, digest in attestation.hashes.model_dump(exclude_none=True).items():
        yield f"- {name}: `sha256:{digest}`"
    yield f"- weights: `sha256:{attestation.weights}`"
    versions = ", ".join(f"{name} {of}" for name, of in attestation.libraries.items())
    yield f"- libraries: {versions}"


def _limits(shape: Shape) -> Iterator[str]:
    yield (
        "It writes what is likely after a text, true or not, and repeats what was in its data, "
        "mistakes and prejudices included."
    )
    yield f"Nothing was measured beyond {shape.context_length:,} tokens."

"""Gates: which measure keeps a file from being registered, and where its bound is from. Pure.

Greedy texts are told, and keep nothing back: one near-tie is enough for another text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.progress import Parity


class Measure(StrEnum):
    """What is measured of a file."""

    METADATA = "metadata"
    """Keys of the file, against the shape and the tokenizer of the model."""
    TENSOR_TYPES = "tensorTypes"
    """Types of the matrices, against what the file's name means."""
    IDS = "ids"
    """Token ids of the corpus, against the tokenizer's."""
    NMSE = "nmse"
    """Logits against the model's, where they are furthest from them."""
    KLD = "kld"
    """Mean Kullback-Leibler divergence from the model."""
    TOP1 = "top1"
    """Share of positions with the model's likeliest token."""
    PERPLEXITY_RATIO = "perplexityRatio"
    """Perplexity over the model's."""


class Failure(NamedTuple):
    """A measure that is not good enough."""

    measure: Measure
    message: str
    """What was found, and what would be good enough."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What files of one type keep to; None is measured, and keeps nothing back."""

    nmse: float | None = None
    """Most; those of full and half precision are llama.cpp's own ("identical" and "very good" of
    `check-nmse.py`)."""
    kld: float | None = None
    """Most, in nats."""
    top1: float | None = None
    """Least, 0 to 1."""
    perplexity_ratio: float | None = None
    """Most."""


BOUNDS: Final[Mapping[ArtifactType, Bounds]] = {
    ArtifactType.F32: Bounds(nmse=1e-6),
    ArtifactType.F16: Bounds(nmse=1e-3),
    ArtifactType.BF16: Bounds(nmse=1e-3),
    ArtifactType.Q8_0: Bounds(kld=0.005, top1=0.97, perplexity_ratio=1.01),
    ArtifactType.Q6_K: Bounds(kld=0.03, top1=0.9, perplexity_ratio=1.02),
    ArtifactType.Q5_K_M: Bounds(kld=0.06, top1=0.88, perplexity_ratio=1.05),
    ArtifactType.Q4_K_M: Bounds(kld=0.15, top1=0.84, perplexity_ratio=1.1),
}
"""Bounds of quantized files, from models of 1 to 20 million parameters, hardly and well trained
(`tests/bench/trainer_quantization.py` measures such), and from Llama 3 8B in llama.cpp's own table.
The mean divergence may be 4 to 6 times that of Llama 3 8B (Q8_0 0.00136, Q6_K 0.0055, Q5_K_M
0.0108, Q4_K_M 0.0313), which is above that of all those models; the share of positions with another
likeliest token may be 4 to 5 times the worst of theirs (0.6, 2.5, 2.7 and 4.1 percent). A Q8_0 file
with one matrix whose rows changed places is beyond its bounds."""


def judge(
    kind: ArtifactType,
    parity: Parity,
    *,
    differing_keys: Sequence[str] = (),
    fallbacks: Sequence[str] = (),
) -> tuple[Failure, ...]:
    """Return every measure that keeps a file from being registered; none if it may be.

    Args:
        kind: Type that the file is named after.
        parity: What was measured of it.
        differing_keys: Keys of it that do not say what the model is.
        fallbacks: Matrices of it that are stored in another type.
    """
    return tuple(_failures(kind, parity, differing_keys, fallbacks))


def parity_failure(name: str, failures: tuple[Failure, ...]) -> TrainingError:
    """Return why a file is not registered."""
    found = "; ".join(f"{failure.measure}: {failure.message}" for failure in failures)
    return TrainingError(
        FailureReason.PARITY_FAILED, f"{name} does not behave like the trained model: {found}"
    )


def _failures(
    kind: ArtifactType, parity: Parity, differing_keys: Sequence[str], fallbacks: Sequence[str]
) -> Iterator[Failure]:
    bounds = BOUNDS[kind]
    if differing_keys:
        yield Failure(Measure.METADATA, f"{_named(differing_keys)} not as in the model")
    if fallbacks:
        yield Failure(
            Measure.TENSOR_TYPES,
            f"{len(fallbacks)} matrices are not stored as {kind}: {_named(fallbacks)}; their rows "
            "are no multiple of 256",
        )
    if not parity.ids_equal:
        yield Failure(Measure.IDS, "other token ids than the tokenizer's")
    yield from _above(Measure.NMSE, parity.nmse, bounds.nmse)
    yield from _above(Measure.KLD, parity.kld, bounds.kld)
    if bounds.top1 is not None and parity.top1 is not None and parity.top1 < bounds.top1:
        yield Failure(Measure.TOP1, f"{parity.top1:.4g}, at least {bounds.top1:g} is needed")
    yield from _above(Measure.PERPLEXITY_RATIO, parity.perplexity_ratio, bounds.perplexity_ratio)


def _above(measure: Measure, found: float | None, most: float | None) -> Iterator[Failure]:
    if most is not None and found is not None and found > most:
        yield Failure(measure, f"{found:.4g}, at most {most:g} is allowed")


def _named(names: Sequence[str], most: int = 4) -> str:
    """Return the first of some names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"

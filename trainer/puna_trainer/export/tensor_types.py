"""Types of tensors in a GGUF: what a file really holds, whatever its name says.

llama.cpp's quantizer stores a row that its blocks do not fit in another type, warns, and ends well
(llama.cpp#26616): one such file of `Q4_K_M` had 98 % of its weights in other types.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from gguf import GGMLQuantizationType, GGUFReader

from puna_trainer.config.output import ArtifactType

MEANT: Final[dict[ArtifactType, frozenset[GGMLQuantizationType]]] = {
    ArtifactType.F32: frozenset({GGMLQuantizationType.F32}),
    ArtifactType.F16: frozenset({GGMLQuantizationType.F16}),
    ArtifactType.BF16: frozenset({GGMLQuantizationType.BF16}),
    ArtifactType.Q8_0: frozenset({GGMLQuantizationType.Q8_0}),
    ArtifactType.Q6_K: frozenset({GGMLQuantizationType.Q6_K}),
    ArtifactType.Q5_K_M: frozenset({GGMLQuantizationType.Q5_K, GGMLQuantizationType.Q6_K}),
    ArtifactType.Q4_K_M: frozenset({GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K}),
}
"""Types that the matrices of a file may have: the middle sizes keep some of them, and the output,
in Q6_K (`llama-quant.cpp`, `llama_tensor_get_type_impl`)."""


class StoredTensor(NamedTuple):
    """One tensor of a file."""

    name: str
    type: GGMLQuantizationType
    dimensions: int
    elements: int
    bytes: int


def read_tensors(path: Path) -> tuple[StoredTensor, ...]:
    """Return the tensors that lie in a file."""
    return tuple(
        StoredTensor(
            name=tensor.name,
            type=tensor.tensor_type,
            dimensions=len(tensor.shape),
            elements=int(tensor.n_elements),
            bytes=int(tensor.n_bytes),
        )
        for tensor in GGUFReader(path).tensors
    )


def bits_per_weight(tensors: Iterable[StoredTensor]) -> float:
    """Return bits of all tensors over their weights."""
    sizes = [(tensor.bytes, tensor.elements) for tensor in tensors]
    return 8 * sum(stored for stored, _ in sizes) / sum(elements for _, elements in sizes)


def fallbacks(kind: ArtifactType, tensors: Iterable[StoredTensor]) -> tuple[StoredTensor, ...]:
    """Return the matrices that are stored in a type which the file's name does not mean."""
    return tuple(
        tensor for tensor in tensors if tensor.dimensions > 1 and tensor.type not in MEANT[kind]
    )

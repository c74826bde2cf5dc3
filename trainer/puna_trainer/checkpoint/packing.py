"""Packing: nested Python values as a document of JSON and named tensors, and back.

Each tensor becomes `{"$tensor": name}`, a tuple `{"$tuple": [...]}`, and a mapping whose keys are
not all strings `{"$pairs": [[key, value], ...]}`: optimizers number their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

TENSOR: Final = "$tensor"
TUPLE: Final = "$tuple"
PAIRS: Final = "$pairs"


def pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return the value as JSON; its tensors are added under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().to("cpu").contiguous()
        return {TENSOR: name}
    if isinstance(value, Mapping):
        packed = [[key, pack(item, f"{name}.{key}", tensors)] for key, item in value.items()]
        if all(isinstance(key, str) for key, _ in packed):
            return dict(packed)
        return {PAIRS: packed}
    if isinstance(value, list | tuple):
        items = [pack(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
        return {TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        return value.item()
    return value


def unpack(document: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the value that was packed."""
    if isinstance(document, list):
        return [unpack(item, tensors) for item in document]
    if not isinstance(document, dict):
        return document
    if TENSOR in document:
        return tensors[document[TENSOR]]
    if TUPLE in document:
        return tuple(unpack(item, tensors) for item in document[TUPLE])
    if PAIRS in document:
        return {key: unpack(item, tensors) for key, item in document[PAIRS]}
    return {key: unpack(item, tensors) for key, item in document.items()}

"""Deliberately broken exports: a good file, written anew with some keys or tensors changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Change = Callable[[Values], Values]


def rewrite(
    source: Path,
    destination: Path,
    *,
    keys: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Change] | None = None,
) -> Path:
    """Copy a file; a key of value None is left out, a tensor whose name contains the given text is
    changed."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(destination, "llama")
    for name, field in reader.fields.items():
        value = (keys or {}).get(name, field.contents())
        if name.startswith("GGUF.") or name == "general.architecture" or value is None:
            continue
        of_array = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, field.types[0], sub_type=of_array)
    for tensor in reader.tensors:
        values: Values = np.array(tensor.data)
        for part, change in (tensors or {}).items():
            if part in tensor.name:
                values = np.ascontiguousarray(change(values))
        writer.add_tensor(tensor.name, values, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return destination


def paired(values: Values, heads: int) -> Values:
    """Rows in llama.cpp's order: as `permute`, written once more as the reference has it."""
    width = values.shape[0] // heads
    return values.reshape(heads, 2, width // 2, -1).swapaxes(1, 2).reshape(values.shape)


def halved(values: Values, heads: int) -> Values:
    """Rows in Hugging Face's order."""
    width = values.shape[0] // heads
    return values.reshape(heads, width // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)

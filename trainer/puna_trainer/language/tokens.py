"""Token files: the documents of one part of the data as one row of ids, mapped into memory.

<part>.tokens       ids, 16 or 32 bits each, little endian; a separator before each document
<part>.tokens.json  what is in it, and what it was made from; written last
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import file_digest, read_json, write_json
from puna_trainer.language.codec import Codec
from puna_trainer.storage.atomic import replacing

Ids = npt.NDArray[np.unsignedinteger[Any]]

DOCUMENTS_AT_ONCE: Final = 256
"""Documents that are encoded together: enough for all cores, few enough for memory."""
SMALL: Final = np.dtype("<u2")
LARGE: Final = np.dtype("<u4")


class Part(StrEnum):
    """Parts of the data."""

    TRAIN = "train"
    """What the weights are learned from."""
    VALIDATION = "validation"
    """What the best checkpoint is chosen by."""
    HELD_OUT = "heldout"
    """What the result is measured on; nothing is chosen by it."""


class Selection(NamedTuple):
    """Documents of a file."""

    path: Path
    first: int
    """Number of the first, from 0."""
    stride: int
    """Distance to the next."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """One part of the data."""

    ids_N: Ids
    """All ids; a page is read when it is looked at."""
    documents: int
    """Documents in it."""
    text_bytes: int
    """Bytes of their texts in UTF-8, separators not counted."""


def selection_of(data: Path, part: Part) -> Selection:
    """Return which documents of the prepared data are a part.

    Where the dataset has no test documents of its own, those that were held back are shared: every
    other one is for choosing, the rest for measuring.

    Raises:
        TrainingError: the stage `data` left no such file.
    """
    validation, test = data / "validation.jsonl", data / "test.jsonl"
    if part is Part.TRAIN:
        chosen = Selection(data / "train.jsonl", 0, 1)
    elif test.is_file():
        chosen = Selection(validation if part is Part.VALIDATION else test, 0, 1)
    else:
        chosen = Selection(validation, 0 if part is Part.VALIDATION else 1, 2)
    if not chosen.path.is_file():
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"stages: {data.name}/{chosen.path.name} is not there; the stage data makes it",
        )
    return chosen


def read_texts(selection: Selection) -> Iterator[str]:
    """Yield the texts of some documents."""
    with selection.path.open(encoding="utf-8") as lines:
        for line in islice(lines, selection.first, None, selection.stride):
            yield json.loads(line)["text"]


def make_token_file(
    data: Path,
    part: Part,
    folder: Path,
    codec: Codec,
    *,
    tokenizer_sha256: str,
    tell: Callable[[str], None],
) -> TokenFile:
    """Return the token file of a part; it is made unless it is there already.

    Args:
        data: Folder that the stage `data` filled.
        part: Which documents.
        folder: Where token files lie.
        codec: Tokenizer.
        tokenizer_sha256: Its digest: with another one the file is made again.
        tell: Takes a sentence of what is being done, and may raise to end it.

    Raises:
        TrainingError: there is no data, or too little of it.
    """
    selection = selection_of(data, part)
    made_from = {
        "documents": [file_digest(selection.path), selection.first, selection.stride],
        "tokenizer": tokenizer_sha256,
    }
    path = folder / f"{part}.tokens"
    note = read_json(_note_of(path))
    if note is None or note["madeFrom"] != made_from or not _is_whole(path, note):
        folder.mkdir(parents=True, exist_ok=True)
        _note_of(path).unlink(missing_ok=True)  # else it would speak of other ids
        kind = SMALL if codec.size <= np.iinfo(SMALL).max + 1 else LARGE
        counts = _write(read_texts(selection), path, codec, kind, tell)
        write_json(_note_of(path), {"madeFrom": made_from, "dtype": kind.str, **counts})
    return open_token_file(path, part)


def open_token_file(path: Path, part: Part) -> TokenFile:
    """Return a token file that was made.

    Raises:
        TrainingError: no document is in it.
    """
    note = read_json(_note_of(path))
    if not note["documents"]:
        raise TrainingError(
            FailureReason.DATA_CORRUPT,
            f"dataset: no document is left for {part}; give more documents, raise "
            "dataset.validationPercent, or let preparation keep more",
        )
    ids_N = np.memmap(path, dtype=np.dtype(note["dtype"]), mode="r", shape=(note["tokens"],))
    return TokenFile(ids_N, note["documents"], note["textBytes"])


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _is_whole(path: Path, note: dict[str, Any]) -> bool:
    size = note["tokens"] * np.dtype(note["dtype"]).itemsize
    return path.is_file() and path.stat().st_size == size


def _write(
    texts: Iterable[str],
    path: Path,
    codec: Codec,
    kind: np.dtype[Any],
    tell: Callable[[str], None],
) -> dict[str, int]:
    documents = tokens = text_bytes = 0
    remaining = iter(texts)
    with replacing(path) as stream:
        while batch := list(islice(remaining, DOCUMENTS_AT_ONCE)):
            tell(f"encoding {path.stem}: {documents} documents, {tokens} tokens")
            for text, ids in zip(batch, codec.encode_documents(batch), strict=True):
                stream.write(np.array(ids, dtype=kind).tobytes())
                documents, tokens = documents + 1, tokens + len(ids)
                text_bytes += len(text.encode())
    return {"documents": documents, "tokens": tokens, "textBytes": text_bytes}

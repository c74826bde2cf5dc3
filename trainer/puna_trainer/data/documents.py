"""Documents: texts of a dataset, one after the other, as its format holds them.

A file of text is one document of many: one that is no UTF-8 is passed over, and told. In a table or
a file of lines nothing is passed over.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from puna_trainer.config.dataset import Dataset, DatasetFormat
from puna_trainer.data.files import data_files, is_test, shown
from puna_trainer.data.tables import require_columns
from puna_trainer.storage.faults import corrupt

ROWS: Final = 256
"""Rows of a Parquet file that are looked at together."""
LONGEST_FIELD: Final = 2**31 - 1
WAY_OUT: Final = "convert it, or leave the file out by dataset.include"


@dataclass(frozen=True, slots=True)
class Document:
    """One text."""

    name: str
    """File, and line or row, that it was found in."""
    text: str
    is_test: bool
    """Whether it belongs to the dataset's own test part."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is not the text it should be."""

    name: str
    why: str
    """The line, and what is wrong with it."""


def read_documents(dataset: Dataset, root: Path) -> Iterator[Document | Unreadable]:
    """Yield the texts of a dataset that lies in a file or folder, in the order of their names.

    Those of the dataset's own test part come first: a text that is in both is a duplicate in the
    other.

    Raises:
        TrainingError: DataCorrupt or BadConfig, naming the file and the place in it.
    """
    reader, endings = READERS[dataset.format]
    paths = data_files(root, endings=endings, include=dataset.include)
    # Names like test_words.py are common among texts, and no part of a dataset.
    tests = {
        path for path in paths if dataset.format is not DatasetFormat.TEXT and is_test(path, root)
    }
    for path in sorted(paths, key=lambda path: path not in tests):
        name = shown(path, root)
        try:
            for place, text in reader(path, name, dataset.text_column):
                if isinstance(text, Unreadable):
                    yield text
                else:
                    yield Document(f"{name}{place}", text, path in tests)
        except OSError as error:
            raise corrupt(f"dataset: {name} cannot be read: {error.strerror or error}") from error


def _text(path: Path, name: str, _column: str) -> Iterator[tuple[str, str | Unreadable]]:
    data = path.read_bytes()
    try:
        yield "", data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield "", Unreadable(name, _no_utf8(data.count(b"\n", 0, error.start) + 1, error))


def _jsonl(path: Path, name: str, column: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_lines(path, name), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row: Any = json.loads(line)
        except ValueError as error:
            raise corrupt(f"dataset: {name}: {place} is no JSON ({error})") from error
        except RecursionError as error:
            raise corrupt(f"dataset: {name}: {place} is nested too deeply") from error
        if not isinstance(row, dict):
            raise corrupt(f"dataset: {name}: {place} is no JSON object")
        require_columns(tuple(row), {"dataset.textColumn": column}, f"{name}: {place}")
        if not isinstance(row[column], str):
            raise corrupt(
                f"dataset: {name}: {place} has {_kind(row[column])} as {column!r}, and no text"
            )
        if not _is_unicode(row[column]):
            raise corrupt(f"dataset: {name}: {place} holds half of a surrogate pair")
        yield f":{number}", row[column]


def _csv(path: Path, name: str, column: str) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader(_lines(path, name), strict=True)
    try:
        header = next(rows, [])
        require_columns(tuple(header), {"dataset.textColumn": column}, name)
        index = header.index(column)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise corrupt(
                    f"dataset: {name}: the row that ends in line {rows.line_num} has {len(row)} "
                    f"fields, and the header {len(header)}"
                )
            yield f":{rows.line_num}", row[index]
    except csv.Error as error:
        raise corrupt(f"dataset: {name}: line {rows.line_num}: {error}") from error


def _parquet(path: Path, name: str, column: str) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with pq.ParquetFile(path) as table:
            require_columns(tuple(table.schema_arrow.names), {"dataset.textColumn": column}, name)
            kind = table.schema_arrow.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise corrupt(f"dataset: {name}: the column {column!r} holds {kind}, and no text")
            for batch in table.iter_batches(ROWS, columns=[column]):
                for text in batch.column(0).to_pylist():
                    number += 1
                    if text is None:
                        raise corrupt(f"dataset: {name}: row {number} has no {column!r}")
                    yield f":{number}", text
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise corrupt(f"dataset: {name}: after row {number}: {error}") from error


def _lines(path: Path, name: str) -> Iterator[str]:
    """Yield the lines of a file of UTF-8, with their ends."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise corrupt(f"dataset: {name}: {_no_utf8(number, error)}; {WAY_OUT}") from error


def _no_utf8(line: int, error: UnicodeDecodeError) -> str:
    return f"line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x})"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


Reader = Callable[[Path, str, str], Iterator[tuple[str, str | Unreadable]]]
READERS: Final[dict[DatasetFormat, tuple[Reader, tuple[str, ...]]]] = {
    DatasetFormat.TEXT: (_text, ()),
    DatasetFormat.JSONL: (_jsonl, ()),
    DatasetFormat.CSV: (_csv, (".csv",)),
    DatasetFormat.PARQUET: (_parquet, (".parquet",)),
}
"""How each format is read, and which files of a folder are."""

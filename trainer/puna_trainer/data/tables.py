"""Tables: columns that have to be there, and images that CSV and Parquet files hold as rows."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from puna_trainer.config.dataset import Dataset, DatasetFormat
from puna_trainer.data.files import data_files, is_test, shown
from puna_trainer.data.labelled import Bytes, Labelled, Part
from puna_trainer.data.pictures import decode
from puna_trainer.storage.faults import corrupt, unusable

SHOWN_COLUMNS: Final = 12
COLOURS: Final = 3
HIGHEST: Final = 255


def require_columns(columns: tuple[str, ...], wanted: Mapping[str, str], where: str) -> None:
    """Refuse a table that lacks a column which a field names.

    Raises:
        TrainingError: BadConfig, naming the field, and the columns there are.
    """
    for field, column in wanted.items():
        if column not in columns:
            shown_columns = ", ".join(columns[:SHOWN_COLUMNS])
            more = ", ..." if len(columns) > SHOWN_COLUMNS else ""
            raise unusable(
                f"{field}: {where} has no column {column!r}; there are "
                f"{shown_columns or 'none'}{more}"
            )
        if columns.count(column) > 1:
            raise corrupt(
                f"dataset: {where} has the column {column!r} {columns.count(column)} times"
            )


def read_image_tables(dataset: Dataset, root: Path) -> Labelled:
    """Read images from the rows of CSV or Parquet files.

    Raises:
        TrainingError: DataCorrupt or BadConfig, naming the file, and the row or column.
    """
    read, endings = READERS[dataset.format]
    found: dict[bool, list[Part]] = {False: [], True: []}
    for path in data_files(root, endings=endings, include=dataset.include):
        found[is_test(path, root)].append(read(dataset, path, shown(path, root)))
    everything = [part for parts in found.values() for part in parts]
    sizes = {part.images_NCHW.shape[2:] for part in everything if part.labels}
    if len(sizes) > 1:
        raise corrupt(f"dataset: the files of {root.name} hold images of different sizes")
    channels = max(part.images_NCHW.shape[1] for part in everything)
    test = _joined(found[True], channels) if found[True] else None
    return Labelled(_joined(found[False], channels), test)


def _joined(parts: list[Part], channels: int) -> Part:
    whole = [part for part in parts if part.labels]
    if not whole:
        return Part(np.zeros((0, 1, 1, 1), np.uint8), ())
    images = [
        np.broadcast_to(part.images_NCHW, (len(part.labels), channels, *part.images_NCHW.shape[2:]))
        for part in whole
    ]
    return Part(np.concatenate(images), tuple(label for part in whole for label in part.labels))


def _csv(dataset: Dataset, path: Path, name: str) -> Part:
    label = dataset.label_column
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            columns = next(csv.reader(stream), [])
        if not columns:
            raise corrupt(f"dataset: {name} is empty")
        require_columns(tuple(columns), {"dataset.labelColumn": label}, name)
        types = {column: pa.uint8() for column in columns} | {label: pa.string()}
        table = pa_csv.read_csv(
            path,
            # In one thread: only so does Arrow know the number of a broken row.
            read_options=pa_csv.ReadOptions(use_threads=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True
            ),
        )
    except (pa.ArrowException, csv.Error) as error:
        raise corrupt(
            f"dataset: {name}: {str(error).strip()}; a row has a label, and pixels from 0 to 255"
        ) from error
    return _pixels(table, label, name)


def _parquet(dataset: Dataset, path: Path, name: str) -> Part:
    label, image = dataset.label_column, dataset.image_column
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise corrupt(f"dataset: {name} is no Parquet file that can be read: {error}") from error
    require_columns(tuple(table.column_names), {"dataset.labelColumn": label}, name)
    if image not in table.column_names:
        return _pixels(table, label, name)
    kind = table.schema.field(image).type
    encoded = table[image].combine_chunks()
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:  # as the hub stores them
        encoded = pc.struct_field(encoded, "bytes")
        kind = encoded.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise corrupt(
            f"dataset: {name}: the column {image!r} holds {kind}, and no encoded images; "
            "dataset.imageColumn names the one that does"
        )
    labels = _labels(table, label, name)
    rows = encoded.to_pylist()
    if None in rows:
        raise corrupt(f"dataset: {name}: row {rows.index(None) + 1} has no {image!r}")
    return Part(decode(rows, [f"{name}:{row}" for row in range(1, len(rows) + 1)]), labels)


def _pixels(table: Any, label: str, name: str) -> Part:
    """Return the images of a table whose columns, apart from the label, are pixels.

    Pixels go row by row; of a coloured image all red ones come first, then green, then blue.
    """
    labels = _labels(table, label, name)
    pixels = table.remove_column(table.column_names.index(label))
    shape = _shape(pixels.num_columns, name)
    pixels_NP = np.empty((len(labels), pixels.num_columns), np.uint8)
    for index, title in enumerate(pixels.column_names):
        pixels_NP[:, index] = _values(pixels.column(index), title, name)
    return Part(pixels_NP.reshape(-1, *shape), labels)


def _values(column: Any, title: str, name: str) -> Bytes:
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py() + 1
        raise corrupt(f"dataset: {name}: row {row} has no value in the column {title!r}")
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise corrupt(
            f"dataset: {name}: the column {title!r} holds {kind}, and no pixels; images that are "
            "encoded stand in the column that dataset.imageColumn names"
        )
    values: NDArray[Any] = column.to_numpy()
    wrong = np.flatnonzero(~((values >= 0) & (values <= HIGHEST) & (values == np.floor(values))))
    if len(wrong):
        raise corrupt(
            f"dataset: {name}: row {wrong[0] + 1} has {values[wrong[0]]} in the column {title!r}; "
            "pixels are whole numbers from 0 to 255"
        )
    pixels: Bytes = values.astype(np.uint8)
    return pixels


def _labels(table: Any, label: str, name: str) -> tuple[str, ...]:
    column = table[label]
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py() + 1
        raise corrupt(f"dataset: {name}: row {row} has no {label!r}")
    values = column.to_pylist()
    if any(isinstance(value, float | list | dict | bytes) for value in values[:1]):
        raise corrupt(f"dataset: {name}: the column {label!r} holds {column.type}, and no classes")
    names = _class_names(table.schema.metadata, label)
    if names and all(isinstance(value, int) and 0 <= value < len(names) for value in values):
        return tuple(names[value] for value in values)
    return tuple(str(value).strip() for value in values)


def _class_names(metadata: Mapping[bytes, bytes] | None, label: str) -> list[str]:
    """Return the names that the hub's datasets give to numbers of classes; none where there are."""
    try:
        described = json.loads((metadata or {})[b"huggingface"])
        names = described["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _shape(pixels: int, name: str) -> tuple[int, int, int]:
    for channels in (1, COLOURS):
        side = math.isqrt(pixels // channels)
        if pixels and side * side * channels == pixels:
            return channels, side, side
    raise corrupt(
        f"dataset: {name} has {pixels} columns beside the label; pixels of a square image are "
        "side x side, or 3 x side x side in colour"
    )


Reader = Callable[[Dataset, Path, str], Part]
READERS: Final[dict[DatasetFormat, tuple[Reader, tuple[str, ...]]]] = {
    DatasetFormat.CSV: (_csv, (".csv",)),
    DatasetFormat.PARQUET: (_parquet, (".parquet",)),
}
"""How each format is read, and which files of a folder are."""

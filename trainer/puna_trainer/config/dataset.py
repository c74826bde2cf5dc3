"""Dataset: where the data lies, how it is written, and which part of it is held back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna_trainer.config.document import Document, Sha256

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]


class DatasetFormat(StrEnum):
    """How a dataset is written."""

    IDX = "idx"
    """The four files of MNIST and its kin, plain or with gzip."""
    IMAGE_FOLDER = "imagefolder"
    """Folders `train` and `test` with one folder of images for each class."""
    CSV = "csv"
    """A table with a header: a label and pixels for images, or a text, in each row."""
    PARQUET = "parquet"
    """A table of Parquet files: a label and an image or pixels, or a text, in each row."""
    TEXT = "text"
    """Files of UTF-8 text: each is a document."""
    JSONL = "jsonl"
    """One JSON object with a text on each line."""


class Dataset(Document):
    """Data to learn from."""

    uri: Annotated[
        str,
        Field(
            max_length=2048, pattern=r"^(file:///|pvc://|https?://|hf://|s3://)[^\s?#]+(\?\S*)?$"
        ),
    ]
    """A file, a folder or an archive (.zip, .tar, .tar.gz, .tgz): file:///path, pvc://claim/path,
    http(s)://host/path, hf://datasets/organization/repository/path or s3://bucket/path."""
    format: DatasetFormat
    """How it is written."""
    sha256: Sha256 | None = None
    """Digest of the file, or of a folder's list of files; checked before anything is learned.

    A folder's list has one line `<sha256>  <relative path>` for each file, sorted by path: what
    `sha256sum` prints.
    """
    include: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=16)
    ] = ()
    """Patterns of file names in a folder, for example `*.py`; all files if empty (text, jsonl)."""
    text_column: ColumnName = "text"
    """Column or member that holds the text (csv, parquet, jsonl)."""
    label_column: ColumnName = "label"
    """Column that holds the class (csv, parquet)."""
    image_column: ColumnName = "image"
    """Column that holds an encoded image (parquet); where there is none, all others are pixels."""
    validation_percent: Annotated[int, Field(ge=1, le=50)] = 10
    """Percent of the training data that is held back to choose the best checkpoint. Test data of
    the dataset itself is never used for that."""
    max_bytes: Annotated[int, Field(ge=1, le=2**50)] | None = None
    """Size in bytes that a download must not exceed."""


class Preparation(Document):
    """What is done to texts before a language model sees them."""

    deduplicate: bool = True
    """Leave out documents whose text was there before, blanks and case apart."""
    min_characters: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Shortest document that is kept."""
    max_characters: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    """Longest document that is kept."""
    redact: bool = True
    """Replace e-mail addresses, telephone and card numbers, IP addresses and keys by a name of
    their kind."""

"""Whether a file is a whole GGUF: a bounded reading of its header against its size. Pure.

Only what tells a model from something else, or a whole file from a cut one, is read; what the
values mean is up to the model server. Every count and length is capped before it is used, so that a
hostile file costs no more than its bytes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from puna_fetch.ggml_types import tensor_size

MINIMUM = 24
"""Bytes of the fixed part: magic, version, count of tensors, count of key-value pairs."""
_VERSIONS = {2, 3}
_MOST_TENSORS = 65_536
_MOST_PAIRS = 65_536
_MOST_ELEMENTS = 8_388_608  # of all arrays of strings together
_LONGEST_NAME = 65_535
_LONGEST_STRING = 16 * 1024 * 1024
_MOST_DIMENSIONS = 4
_DEEPEST_ARRAY = 4
_LARGEST_ALIGNMENT = 65_536
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_UNSIGNED_32 = struct.Struct("<I")
_UNSIGNED_64 = struct.Struct("<Q")
_ALIGNMENT_KEY = b"general.alignment"
_SPLIT_KEY = b"split.count"


class InvalidGgufError(ValueError):
    """The file is no whole GGUF; the message says what was found."""


class HeaderCutShortError(InvalidGgufError):
    """The data ends inside the header."""

    def __init__(self, end: int) -> None:
        super().__init__(f"the file ends after {end} bytes, inside its header")


class Header(NamedTuple):
    """What the header says about the file."""

    version: int
    tensors: int
    pairs: int
    required_size: int
    """Bytes that the file must have at least."""
    parts: int
    """Files that the model is split into; 1 where it is whole."""


def check_beginning(data: bytes) -> tuple[int, int, int]:
    """The version and the counts of tensors and of key-value pairs in a file's first bytes.

    Raises:
        InvalidGgufError: these are not the first bytes of a GGUF that a model server can load.
    """
    beginning = data[:MINIMUM]
    if beginning[:4] != b"GGUF":
        shown = beginning[:4].decode("latin-1").encode("unicode_escape").decode()
        found = "is empty" if not beginning else f"begins with '{shown}' instead of 'GGUF'"
        hint = " (a web page?)" if beginning[:1] == b"<" else ""
        raise InvalidGgufError(f"the file {found}{hint}")
    if len(beginning) < MINIMUM:
        raise HeaderCutShortError(len(beginning))
    version, tensors, pairs = struct.unpack_from("<IQQ", beginning, 4)
    if version & 0xFFFF == 0:
        raise InvalidGgufError("the file is big-endian, or its version is damaged")
    if version not in _VERSIONS:
        raise InvalidGgufError(f"GGUF version {version}; wanted 2 or 3")
    if not 0 < tensors <= _MOST_TENSORS:
        raise InvalidGgufError(f"the header counts {tensors} tensors; wanted 1 to {_MOST_TENSORS}")
    if pairs > _MOST_PAIRS:
        raise InvalidGgufError(f"the header counts {pairs} values; wanted at most {_MOST_PAIRS}")
    return version, tensors, pairs


def read_header(data: bytes, file_size: int) -> Header:
    """The header in the first bytes of a file, checked against the file's size.

    Raises:
        HeaderCutShortError: more of the file is needed.
        InvalidGgufError: the file is no GGUF, or is cut short.
    """
    version, tensors, pairs = check_beginning(data)
    try:
        header = _Reader(data, MINIMUM).header(version, tensors, pairs)
    except struct.error as error:
        raise HeaderCutShortError(len(data)) from error
    if file_size < header.required_size:
        raise InvalidGgufError(
            f"the file is cut short: {file_size} bytes, its tensors end at {header.required_size}"
        )
    return header


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.end = len(data)
        self.elements = 0

    def header(self, version: int, tensors: int, pairs: int) -> Header:
        alignment, parts = 32, 1
        for _ in range(pairs):
            key, kind = self.string(_LONGEST_NAME), self.unsigned(_UNSIGNED_32)
            start = self.position
            self.skip_value(kind, 0)
            if key == _ALIGNMENT_KEY and kind == 4:  # noqa: PLR2004 - an unsigned 32-bit value
                (alignment,) = _UNSIGNED_32.unpack_from(self.data, start)
            if key == _SPLIT_KEY and kind == 2:  # noqa: PLR2004 - an unsigned 16-bit value
                (parts,) = struct.unpack_from("<H", self.data, start)
        if not 0 < alignment <= _LARGEST_ALIGNMENT:
            raise InvalidGgufError(f"the header states an alignment of {alignment} bytes")
        extent = max(self.tensor_end() for _ in range(tensors))
        data_start = -(-self.position // alignment) * alignment
        return Header(version, tensors, pairs, data_start + extent, max(parts, 1))

    def tensor_end(self) -> int:
        name = self.string(_LONGEST_NAME).decode(errors="replace")[:64]
        rank = self.unsigned(_UNSIGNED_32)
        if rank > _MOST_DIMENSIONS:
            raise InvalidGgufError(f"tensor '{name}' has {rank} dimensions")
        dimensions = tuple(self.unsigned(_UNSIGNED_64) for _ in range(rank))
        kind, offset = self.unsigned(_UNSIGNED_32), self.unsigned(_UNSIGNED_64)
        try:
            return offset + (tensor_size(kind, dimensions) or 0)
        except ValueError as error:
            raise InvalidGgufError(f"tensor '{name}': {error}") from error

    def skip_value(self, kind: int, depth: int) -> None:
        if kind == _STRING:
            self.string(_LONGEST_STRING)
        elif kind == _ARRAY:
            if depth == _DEEPEST_ARRAY:
                raise InvalidGgufError(f"a value is nested more than {_DEEPEST_ARRAY} deep")
            self.skip_array(self.unsigned(_UNSIGNED_32), self.unsigned(_UNSIGNED_64), depth)
        else:
            self.skip(self.scalar_size(kind))

    def skip_array(self, kind: int, count: int, depth: int) -> None:
        if kind not in {_STRING, _ARRAY}:
            self.skip(self.scalar_size(kind) * count)
            return
        self.elements += count
        if self.elements > _MOST_ELEMENTS:
            raise InvalidGgufError(f"the header holds more than {_MOST_ELEMENTS} strings")
        if kind == _ARRAY:
            for _ in range(count):
                self.skip_value(kind, depth + 1)
            return
        # A tokenizer has hundreds of thousands of them: as little as possible for each.
        position, data, end, unpack = self.position, self.data, self.end, _UNSIGNED_64.unpack_from
        for _ in range(count):
            position += 8 + unpack(data, position)[0]
            if position > end:
                raise HeaderCutShortError(end)
        self.position = position

    def string(self, longest: int) -> bytes:
        length = self.unsigned(_UNSIGNED_64)
        if length > longest:
            raise InvalidGgufError(f"the header holds a string of {length} bytes")
        start = self.position
        self.skip(length)
        return self.data[start : self.position]

    def unsigned(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return int(value)

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > self.end:
            raise HeaderCutShortError(self.end)

    def scalar_size(self, kind: int) -> int:
        if kind not in _SCALARS:
            raise InvalidGgufError(f"the header holds a value of the unknown type {kind}")
        return struct.calcsize("<" + _SCALARS[kind])

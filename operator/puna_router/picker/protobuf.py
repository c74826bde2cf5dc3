"""Protocol buffers by hand: the little of the wire format that ext_proc messages need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT: Final = 10
_CONTINUED: Final = 0x80


class MalformedError(ValueError):
    """Bytes that are no message."""


def varint(data: bytes, offset: int) -> tuple[int, int]:
    """An unsigned integer, and the offset behind it.

    Raises:
        MalformedError: There is none.
    """
    value = 0
    for position, byte in enumerate(data[offset : offset + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < _CONTINUED:
            return value, offset + position + 1
    raise MalformedError("a number does not end")


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field; the content of numbers is left out.

    Raises:
        MalformedError: The bytes are no message.
    """
    offset, end = 0, len(data)
    try:
        while offset < end:
            # Most numbers have one byte: a call for each would cost more than all the rest.
            tag, offset = data[offset], offset + 1
            if tag >= _CONTINUED:
                tag, offset = varint(data, offset - 1)
            wire = tag & 7
            value = b""
            if wire == BYTES:
                size, start = data[offset], offset + 1
                if size >= _CONTINUED:
                    size, start = varint(data, offset)
                offset = start + size
                value = data[start:offset]
            elif wire == VARINT:
                _, offset = varint(data, offset)
            elif wire in _FIXED:
                offset += _FIXED[wire]
            else:
                raise MalformedError(f"field {tag >> 3} has wire type {wire}")
            if offset > end:
                break
            yield tag >> 3, value
    except IndexError:
        offset = end + 1
    if offset > end:
        raise MalformedError("a field does not end")


def encoded(number: int) -> bytes:
    """An unsigned integer."""
    parts = bytearray()
    while number >= _CONTINUED:
        parts.append(number & 0x7F | _CONTINUED)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def content(number: int, value: bytes) -> bytes:
    """A field that holds bytes, a text or a message."""
    return encoded(number << 3 | BYTES) + encoded(len(value)) + value


def number(field: int, value: int) -> bytes:
    """A field that holds a number that is not negative."""
    return encoded(field << 3 | VARINT) + encoded(value)

from __future__ import annotations

import contextlib
import struct

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_fetch.ggml_types import LAYOUTS
from puna_fetch.gguf_header import InvalidGgufError, check_beginning, read_header
from tests.gguf_factory import write_tiny_gguf


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def header(*parts: bytes, tensors: int = 1, pairs: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + b"".join(parts)


def tensor(*dimensions: int, kind: int = 0, offset: int = 0) -> bytes:
    return (
        string(b"t")
        + struct.pack("<I", len(dimensions))
        + struct.pack(f"<{len(dimensions)}Q", *dimensions)
        + struct.pack("<IQ", kind, offset)
    )


def refused(data: bytes, size: int | None = None) -> str:
    with pytest.raises(InvalidGgufError) as caught:
        read_header(data, len(data) if size is None else size)
    return str(caught.value)


def test_the_table_of_formats_agrees_with_ggml() -> None:
    theirs = {int(kind): tuple(layout) for kind, layout in gguf.GGML_QUANT_SIZES.items()}
    assert theirs == {kind: tuple(layout) for kind, layout in LAYOUTS.items()}


def test_a_whole_model_ends_where_its_header_says(model: bytes) -> None:
    found = read_header(model, len(model))
    assert found.required_size == len(model)
    assert (found.version, found.parts) == (3, 1)


def test_a_model_that_lacks_its_last_byte_is_cut_short(model: bytes) -> None:
    assert "cut short" in refused(model, len(model) - 1)


@given(st.data())
def test_a_model_cut_anywhere_is_refused(model: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(model) - 1))
    refused(model[:end])


@given(st.data())
def test_damage_is_refused_or_harmless_and_never_worse(model: bytes, data: st.DataObject) -> None:
    start = read_header(model, len(model)).required_size - 460_000
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, start))
        damaged[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidGgufError):
        read_header(bytes(damaged), len(damaged))


@given(st.binary(max_size=300))
def test_noise_behind_a_right_beginning_is_refused_or_harmless(noise: bytes) -> None:
    with contextlib.suppress(InvalidGgufError):
        read_header(header(noise, tensors=2, pairs=3), 10_000)


@pytest.mark.parametrize(
    ("beginning", "said"),
    [
        (b"", "is empty"),
        (b"<html>" * 9, "a web page?"),
        (b"\x1f\x8b\x08\x00" * 9, r"\x1f\x8b\x08\x00"),
        (b"GGUF\x03\x00", "ends after 6 bytes"),
        (header(version=1), "version 1"),
        (header(version=4), "version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 0), "big-endian"),
        (header(tensors=0), "0 tensors"),
        (header(tensors=10**12), "tensors"),
        (header(pairs=10**12), "values"),
    ],
)
def test_a_beginning_that_is_none_says_what_it_is(beginning: bytes, said: str) -> None:
    with pytest.raises(InvalidGgufError) as caught:
        check_beginning(beginning)
    assert said in str(caught.value)


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def nested_array(depth: int) -> bytes:
    return struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 0, 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (pair(b"k", 8, struct.pack("<Q", 2**40)), "string of"),
        (pair(b"k", 8, struct.pack("<Q", 2**63)), "string of"),
        (pair(b"k", 9, struct.pack("<IQ", 8, 2**40)), "more than"),
        (pair(b"k", 9, struct.pack("<IQ", 0, 2**62)), "inside its header"),
        (pair(b"k", 9, nested_array(6)), "nested"),
        (pair(b"k", 99, b""), "unknown type 99"),
        (pair(b"general.alignment", 4, struct.pack("<I", 0)) + tensor(1), "alignment of 0"),
    ],
)
def test_a_value_without_measure_is_refused(value: bytes, said: str) -> None:
    assert said in refused(header(value, pairs=1) + bytes(200))


def test_a_tensor_without_measure_is_refused() -> None:
    assert "dimensions" in refused(header(tensor(1, 1, 1, 1, 1)) + bytes(100))
    assert "no multiple of 32" in refused(header(tensor(33, kind=2)) + bytes(100))
    assert "cut short" in refused(header(tensor(2**60, 2**60)) + bytes(100))
    assert "cut short" in refused(header(tensor(1, offset=2**63)) + bytes(100))


def test_alignment_and_parts_are_read() -> None:
    values = pair(b"general.alignment", 4, struct.pack("<I", 256)) + pair(
        b"split.count", 2, struct.pack("<H", 3)
    )
    data = header(values, tensor(8), pairs=2)
    found = read_header(data, 10_000)
    assert (found.required_size, found.parts) == (256 + 32, 3)


def test_a_type_newer_than_the_table_needs_its_offset_alone() -> None:
    found = read_header(header(tensor(8, kind=200, offset=64)), 10_000)
    assert found.required_size == 64 + 64

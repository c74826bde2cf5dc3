from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fetch.program import Program
from tests.fetch.source_server import SourceServer, running
from tests.gguf_factory import write_tiny_gguf


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


@pytest.fixture
def source(model: bytes) -> Iterator[SourceServer]:
    with running(SourceServer(model)) as server:
        yield server


@pytest.fixture
def program(tmp_path: Path, model: bytes) -> Program:
    return Program(tmp_path, hashlib.sha256(model).hexdigest())

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fetch.source_server import SourceServer, running
from tests.trainer.storage.fetching import Fetcher


@pytest.fixture(scope="session")
def content() -> bytes:
    return random.Random(5).randbytes(3_000_000)


@pytest.fixture
def source(content: bytes) -> Iterator[SourceServer]:
    with running(SourceServer(content)) as server:
        yield server


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "data")

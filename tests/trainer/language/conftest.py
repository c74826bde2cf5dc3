"""What tests of the language model share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.trainer.language import runs


@pytest.fixture(autouse=True)
def closed_reporters() -> Iterator[None]:
    yield
    while runs.OPEN:
        runs.OPEN.pop().close()

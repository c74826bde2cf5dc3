from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason


@contextmanager
def refused(*words: str, reason: FailureReason = FailureReason.DATA_CORRUPT) -> Iterator[None]:
    """Expect a failure of this reason whose sentence has these words in it."""
    with pytest.raises(TrainingError) as caught:
        yield
    assert caught.value.reason is reason, caught.value.message
    for word in words:
        assert word in caught.value.message

"""What is wrong with a run.json is said in one sentence that names the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.reading import read_file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "x", "hyperparameters": {"epochs": 0}}', "task: Field required (and "),
        ("{", "run.json: Invalid JSON"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(TrainingError) as caught:
        read_file(path)
    assert caught.value.reason is FailureReason.BAD_CONFIG
    assert caught.value.message.startswith(message)

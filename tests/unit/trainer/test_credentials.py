from __future__ import annotations

from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.storage.credentials import FOLDER_VARIABLE, VARIABLES, read_credentials


def test_what_the_environment_holds_is_used() -> None:
    credentials = read_credentials({"AWS_ACCESS_KEY_ID": "me", "HF_TOKEN": "", "HOME": "/root"})
    assert credentials.get("accessKeyId") == "me"
    assert credentials.get("hubToken") is None
    assert credentials.authorization is None


def test_what_a_folder_holds_goes_before(tmp_path: Path) -> None:
    (tmp_path / "accessKeyId").write_text("other\n")
    environment = {"AWS_ACCESS_KEY_ID": "me", "AWS_REGION": "x", FOLDER_VARIABLE: str(tmp_path)}
    credentials = read_credentials(environment)
    assert credentials.get("accessKeyId") == "other"
    assert credentials.get("region") == "x"


def test_a_name_and_a_password_make_a_header_and_a_token_goes_before(tmp_path: Path) -> None:
    environment = {FOLDER_VARIABLE: str(tmp_path)}
    (tmp_path / "username").write_text("ada")
    (tmp_path / "password").write_text("secret")
    assert read_credentials(environment).authorization == "Basic YWRhOnNlY3JldA=="
    (tmp_path / "token").write_text("abc")
    assert read_credentials(environment).authorization == "Bearer abc"


@pytest.mark.parametrize("data", [b"", b"\n", b"a\nb", "ä".encode(), b"\xff"])
def test_what_cannot_be_sent_is_refused_by_its_key_alone(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "token").write_bytes(data)
    with pytest.raises(TrainingError, match="the file token"):
        read_credentials({FOLDER_VARIABLE: str(tmp_path)})


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=FOLDER_VARIABLE):
        read_credentials({FOLDER_VARIABLE: str(tmp_path / "none")})


def test_no_secret_is_shown() -> None:
    shown = repr(read_credentials(dict.fromkeys(filter(None, VARIABLES.values()), "hidden")))
    assert "hidden" not in shown

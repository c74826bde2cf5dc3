"""file:// addresses are used where they lie, and copied to where they are uploaded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.storage.digest import digest_of, files_below
from puna_trainer.storage.upload import upload
from tests.trainer.storage.fetching import Fetcher, sha256_of


def test_a_file_is_used_where_it_lies(fetcher: Fetcher, tmp_path: Path) -> None:
    path = tmp_path / "with blank.csv"
    path.write_text("a,b\n")
    uri = f"file://{tmp_path}/with%20blank.csv"
    assert fetcher.fetch(uri, sha256_of(b"a,b\n")) == path
    assert not fetcher.folder.exists()
    reason, message = fetcher.refusal(uri, "0" * 64)
    assert reason is FailureReason.DATA_CORRUPT
    assert sha256_of(b"a,b\n") in message


def test_a_path_that_does_not_exist_is_refused(fetcher: Fetcher, tmp_path: Path) -> None:
    reason, message = fetcher.refusal(f"file://{tmp_path}/nothing")
    assert reason is FailureReason.BAD_CONFIG
    assert f"{tmp_path}/nothing does not exist" in message


def test_a_claim_needs_a_cluster(fetcher: Fetcher) -> None:
    reason, message = fetcher.refusal("pvc://claim/data")
    assert reason is FailureReason.BAD_CONFIG
    assert "file:///" in message


def test_the_digest_of_a_folder_is_what_sha256sum_prints(tmp_path: Path) -> None:
    for name in ("b/c", "b-", "a b", "ä", "back\\slash", "new\nline", ".hidden/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert digest_of(tmp_path) == printed.stdout.split()[0]


def test_files_of_a_mounted_config_map_count_once(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "a.txt").write_text("a")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "a.txt").symlink_to("..data/a.txt")
    assert list(files_below(tmp_path)) == ["a.txt"]


def test_an_artifact_is_copied_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    sent = upload(
        tmp_path / "model.gguf",
        f"file://{tmp_path}/far/away",
        report=lambda _: None,
        environment={},
    )
    assert sent == f"file://{tmp_path}/far/away/model.gguf"
    assert [path.name for path in (tmp_path / "far/away").iterdir()] == ["model.gguf"]


def test_a_copy_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="the artifact lies at") as caught:
        upload(
            tmp_path / "model.gguf",
            f"file://{tmp_path}/file/x",
            report=lambda _: None,
            environment={},
        )
    assert caught.value.reason is FailureReason.UPLOAD_FAILED

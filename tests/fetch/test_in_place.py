"""Files and volumes that are used where they lie."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from puna_fetch.config import FetchReason, FetchRequest
from tests.fetch.program import Outcome, Program, run_program

HEAVY = ("pydantic", "httpx", "huggingface_hub", "ssl", "http.client", "puna_fetch.config")


def check(path: Path, folder: Path, sha256: str | None, records: Path | None = None) -> Outcome:
    request = FetchRequest(
        uri=f"file://{path}",
        sha256=sha256,
        destination=str(path),
        record_directory=str(records) if records else None,
    )
    return run_program(request.to_args(), folder)


@pytest.fixture
def file(tmp_path: Path, model: bytes) -> Path:
    path = tmp_path / "source" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(model)
    return path


def test_a_good_file_passes_with_and_without_a_digest(
    file: Path, tmp_path: Path, program: Program
) -> None:
    assert check(file, tmp_path, None).code == 0
    assert check(file, tmp_path, program.sha256).code == 0
    assert list(file.parent.iterdir()) == [file]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    failure = check(tmp_path / "gone.gguf", tmp_path, None).failure
    assert failure.reason == FetchReason.FILE_NOT_FOUND
    assert "gone.gguf" in failure.message
    assert check(tmp_path, tmp_path, None).reason == FetchReason.FILE_NOT_FOUND


def test_another_digest_is_refused_and_named(file: Path, tmp_path: Path, program: Program) -> None:
    failure = check(file, tmp_path, "0" * 64, tmp_path / "records").failure
    assert failure.reason == FetchReason.CHECKSUM_MISMATCH
    assert program.sha256 in failure.message


def test_a_cut_or_foreign_file_is_no_model(file: Path, tmp_path: Path, model: bytes) -> None:
    for content in (b"", b"GGUF", model[:100], model[:-1], b"PK\x03\x04" + model[4:]):
        file.write_bytes(content)
        assert check(file, tmp_path, None).reason == FetchReason.INVALID_MODEL


def test_a_digest_is_computed_once_and_again_after_a_change(
    file: Path, tmp_path: Path, program: Program, model: bytes
) -> None:
    records = tmp_path / "records"
    time.sleep(2.1)  # until then a change could leave the file's times as they are
    assert check(file, tmp_path, program.sha256, records).code == 0
    record = next(records.glob("*.checked"))
    written = record.stat().st_mtime_ns
    assert check(file, tmp_path, program.sha256, records).code == 0
    assert record.stat().st_mtime_ns == written
    facts = file.stat()
    with file.open("r+b") as stream:
        stream.write(model[:-1] + b"?")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    outcome = check(file, tmp_path, program.sha256, records)
    assert outcome.reason == FetchReason.CHECKSUM_MISMATCH


def test_a_file_that_just_changed_leaves_no_record(
    file: Path, tmp_path: Path, program: Program
) -> None:
    file.touch()
    assert check(file, tmp_path, program.sha256, tmp_path / "records").code == 0
    assert list((tmp_path / "records").glob("*.checked")) == []


def test_a_file_in_place_needs_none_of_the_slow_imports(file: Path, program: Program) -> None:
    request = FetchRequest(uri=f"file://{file}", sha256=program.sha256, destination=str(file))
    command = [sys.executable, "-X", "importtime", "-m", "puna_fetch", *request.to_args()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "puna_fetch.local" in imported
    assert imported.isdisjoint(HEAVY)


def test_bad_arguments_are_a_reason_too(tmp_path: Path) -> None:
    cases = {
        ("--uri=s3://bucket/key", "--destination=/x"): "s3",
        ("--uri=https://host/x", "--destination=/x"): "sha256",
        ("--uri=file:///x", "--destination=x"): "destination",
        ("--uri=file:///x", "--destination=/x", "--sha256=ABC"): "--sha256",
        ("--uri=file:///x", "--destination=/x", "--stall-timeout=0"): "--stall-timeout",
        ("--uri=file:///x",): "--destination",
        ("--uri=file:///x", "--destination=/x", "--unknown"): "--unknown",
    }
    for arguments, named in cases.items():
        failure = run_program(list(arguments), tmp_path).failure
        assert failure.reason == FetchReason.INVALID_REQUEST
        assert named in failure.message

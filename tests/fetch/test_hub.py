"""hf:// addresses, against a server that redirects to a storage of its own, as the hub does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from puna_fetch.config import FetchReason
from tests.fetch.program import Program
from tests.fetch.source_server import SourceServer, answer, redirect, running, serve

URI = "hf://team/tiny-model/gguf/tiny%20q8.gguf"


@dataclass
class Hub:
    """The hub, and the storage it redirects to."""

    front: SourceServer
    storage: SourceServer


@pytest.fixture
def hub(model: bytes) -> Iterator[Hub]:
    with running(SourceServer(model)) as front, running(SourceServer(model)) as storage:
        front.always = redirect(
            storage.url("/blob?X-Amz-Signature=secretsignature"),
            {
                "X-Repo-Commit": "0" * 40,
                "X-Linked-Etag": f'"{hashlib.sha256(model).hexdigest()}"',
                "X-Linked-Size": str(len(model)),
            },
        )
        yield Hub(front, storage)


@pytest.fixture
def program(tmp_path: Path, model: bytes, hub: Hub) -> Program:
    digest = hashlib.sha256(model).hexdigest()
    return Program(tmp_path, digest, {"HF_ENDPOINT": hub.front.url("")})


def test_a_file_of_the_hub_is_downloaded(program: Program, hub: Hub) -> None:
    hub.storage.behaviours.append(serve(cut_after=200_000))
    assert program.run(URI).code == 0
    assert program.is_in_place
    assert hub.front.asked[0].path == "/team/tiny-model/resolve/main/gguf/tiny%20q8.gguf"
    assert hub.storage.asked[1].offset > 0


def test_a_revision_is_asked_for(program: Program, hub: Hub) -> None:
    assert program.run(URI + "@refs/pr/7").code == 0
    assert "/resolve/refs%2Fpr%2F7/" in hub.front.asked[0].path


def test_a_token_goes_to_the_hub_alone(program: Program, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secrettoken")
    outcome = program.run(URI, credentials=tmp_path)
    assert outcome.code == 0
    assert hub.front.asked[0].headers["authorization"] == "Bearer hf_secrettoken"
    assert "authorization" not in hub.storage.asked[0].headers
    assert "secret" not in outcome.log + outcome.output


def test_another_digest_is_known_before_the_first_byte(program: Program, hub: Hub) -> None:
    other = Program(program.folder, "0" * 64, program.environment)
    failure = other.run(URI).failure
    assert failure.reason == FetchReason.CHECKSUM_MISMATCH
    assert program.sha256 in failure.message
    assert not other.partial.exists()
    assert hub.front.asked[0].path.endswith("q8.gguf")


def test_what_the_hub_says_is_passed_on(program: Program, hub: Hub) -> None:
    hub.front.always = answer(
        401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted."}
    )
    failure = program.run(URI).failure
    assert failure.reason == FetchReason.UNAUTHORIZED
    assert "Access to model is restricted." in failure.message
    hub.front.always = answer(404, {"X-Error-Code": "EntryNotFound"})
    assert program.run(URI).reason == FetchReason.FILE_NOT_FOUND


def test_the_hub_and_its_storage_are_under_the_same_rules(program: Program, hub: Hub) -> None:
    assert program.run(URI, networks=()).reason == FetchReason.ADDRESS_REFUSED
    assert hub.front.asked == []
    hub.front.always = redirect("http://169.254.169.254/")
    assert program.run(URI).reason == FetchReason.ADDRESS_REFUSED


def test_an_address_of_another_form_is_named(program: Program) -> None:
    for uri in ("hf://team/model", "hf://team/model/../x.gguf", "hf://team/model/x.gguf@"):
        assert program.run(uri).reason == FetchReason.INVALID_REQUEST

"""Encrypted sources: whom a fetch trusts, and that it never steps down to plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from puna_fetch.config import FetchReason
from tests.fetch.certificates import server_context
from tests.fetch.program import STUBBORN, Program
from tests.fetch.source_server import SourceServer, redirect, running, serve


@pytest.fixture
def encrypted(tmp_path: Path, model: bytes) -> Iterator[tuple[SourceServer, Path]]:
    context, ca_file = server_context(tmp_path)
    with running(SourceServer(model), context) as server:
        yield server, ca_file


def test_a_private_authority_is_trusted_where_it_is_named(
    program: Program, encrypted: tuple[SourceServer, Path]
) -> None:
    server, ca_file = encrypted
    server.behaviours.append(serve(cut_after=200_000))
    assert program.run(server.url(), ca_file=ca_file).code == 0
    assert program.is_in_place
    assert server.asked[1].offset > 0


def test_an_unknown_authority_is_refused_at_once(
    program: Program, encrypted: tuple[SourceServer, Path]
) -> None:
    server, _ = encrypted
    outcome = program.run(server.url(), *STUBBORN)
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED
    assert "not trusted" in outcome.failure.message
    assert server.asked == []


def test_a_certificate_for_another_name_is_refused(
    program: Program, encrypted: tuple[SourceServer, Path]
) -> None:
    server, ca_file = encrypted
    outcome = program.run(server.url(host="localhost"), ca_file=ca_file)
    assert "not trusted" in outcome.failure.message


def test_a_redirect_to_plain_text_is_refused(
    program: Program, encrypted: tuple[SourceServer, Path], source: SourceServer
) -> None:
    server, ca_file = encrypted
    server.always = redirect(source.url())
    outcome = program.run(server.url(), ca_file=ca_file)
    assert outcome.reason == FetchReason.ADDRESS_REFUSED
    assert "from https to http" in outcome.failure.message
    assert source.asked == []


def test_a_redirect_to_encryption_is_followed(
    program: Program, encrypted: tuple[SourceServer, Path], source: SourceServer
) -> None:
    server, ca_file = encrypted
    source.always = redirect(server.url())
    assert program.run(source.url(), ca_file=ca_file).code == 0


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_that_is_none_is_named(
    program: Program, encrypted: tuple[SourceServer, Path], tmp_path: Path, content: str | None
) -> None:
    server, _ = encrypted
    ca_file = tmp_path / "broken.pem"
    if content is not None:
        ca_file.write_text(content)
    outcome = program.run(server.url(), ca_file=ca_file)
    assert outcome.reason == FetchReason.INVALID_REQUEST
    assert "CA file" in outcome.failure.message

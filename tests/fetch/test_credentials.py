"""Credentials go to the server they are for, and into no message."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from puna_fetch.config import FetchReason
from tests.fetch.program import Outcome, Program
from tests.fetch.source_server import SourceServer, answer, redirect, running

TOKEN = "hf_verysecrettoken"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def shows_no_secret(outcome: Outcome) -> bool:
    return TOKEN not in outcome.output + outcome.log + outcome.termination


def test_a_token_is_sent(program: Program, source: SourceServer, secret: Path) -> None:
    (secret / "token").write_text(TOKEN + "\n")
    outcome = program.run(source.url(), credentials=secret)
    assert outcome.code == 0
    assert source.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert shows_no_secret(outcome)


def test_a_user_and_a_password_are_sent(
    program: Program, source: SourceServer, secret: Path
) -> None:
    (secret / "username").write_text("ana")
    (secret / "password").write_text(TOKEN)
    assert program.run(source.url(), credentials=secret).code == 0
    expected = base64.b64encode(f"ana:{TOKEN}".encode()).decode()
    assert source.asked[0].headers["authorization"] == f"Basic {expected}"


def test_a_redirect_to_another_server_sees_no_credentials(
    program: Program, source: SourceServer, secret: Path, model: bytes
) -> None:
    (secret / "token").write_text(TOKEN)
    with running(SourceServer(model)) as other:
        source.behaviours.append(redirect("/same-server"))
        source.behaviours.append(redirect(other.url()))
        outcome = program.run(source.url(), credentials=secret)
    assert outcome.code == 0
    assert "authorization" in source.asked[1].headers
    assert "authorization" not in other.asked[0].headers
    assert shows_no_secret(outcome)


def test_refused_credentials_are_a_reason_without_the_secret(
    program: Program, source: SourceServer, secret: Path
) -> None:
    (secret / "token").write_text(TOKEN)
    source.always = answer(403)
    outcome = program.run(source.url(), credentials=secret)
    assert outcome.reason == FetchReason.UNAUTHORIZED
    assert "check the credentials" in outcome.failure.message
    assert shows_no_secret(outcome)


@pytest.mark.parametrize(
    "content", [{}, {"username": "ana"}, {"token": ""}, {"token": "a\r\nX-Evil: 1"}]
)
def test_a_secret_of_another_form_is_named(
    program: Program, source: SourceServer, secret: Path, content: dict[str, str]
) -> None:
    for name, value in content.items():
        (secret / name).write_text(value)
    outcome = program.run(source.url(), credentials=secret)
    assert outcome.reason == FetchReason.INVALID_REQUEST
    assert "credentials" in outcome.failure.message
    assert source.asked == []

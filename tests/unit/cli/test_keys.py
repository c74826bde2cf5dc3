from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from puna_cli.errors import CommandError
from puna_cli.keys.key import (
    checked_name,
    ending,
    new_key,
    read_key,
    renewed,
    row,
    span,
    successor,
)
from puna_router.config import ApiKey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RANDOM = bytes(range(32))


def test_a_key_is_256_random_bits_and_only_its_digest_is_kept() -> None:
    made = new_key(RANDOM, endpoints=("chat",), burst=3)
    assert made.text == "puna_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert json.loads(made.document.to_json()) == {
        "sha256": sha256(made.text.encode()).hexdigest(),
        "endpoints": ["chat"],
        "burst": 3,
    }


def test_a_limit_that_cannot_be_is_named() -> None:
    with pytest.raises(CommandError, match=r"requestsPerMinute: .* less than or equal to 1000000"):
        new_key(RANDOM, requests_per_minute=2_000_000)


@pytest.mark.parametrize("name", ["", "Alice", "alice_b", "-a", "a" * 64])
def test_a_key_has_a_name_that_a_label_may_hold(name: str) -> None:
    assert checked_name("alice-2") == "alice-2"
    with pytest.raises(CommandError, match="is no name of a key"):
        checked_name(name)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("alice", {"alice"}, "alice-2"),
        ("alice-2", {"alice", "alice-2"}, "alice-3"),
        ("alice", {"alice", "alice-2"}, "alice-3"),
        ("a" * 63, set(), "a" * 61 + "-2"),
    ],
)
def test_keys_that_follow_each_other_are_numbered(
    name: str, taken: set[str], expected: str
) -> None:
    assert successor(name, taken) == expected


def test_a_renewed_key_has_the_limits_of_the_old_one_but_not_its_end() -> None:
    old = ApiKey(sha256="a" * 64, burst=3, endpoints=("chat",), expires_at=NOW)
    assert (
        renewed(old, RANDOM, None).document
        == new_key(RANDOM, burst=3, endpoints=("chat",)).document
    )


def test_an_overlap_never_prolongs_a_key() -> None:
    key = ApiKey(sha256="a" * 64)
    assert ending(key, NOW).expires_at == NOW
    assert ending(ending(key, NOW), NOW + timedelta(days=1)).expires_at == NOW


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("30d", 2592000)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "1y"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        span(text)


def test_a_row_tells_limits_and_state_and_no_digest() -> None:
    key = ApiKey(sha256="a" * 64, tokens_per_minute=9, expires_at=NOW)
    assert row("alice", key, NOW - timedelta(seconds=1)) == {
        "name": "alice",
        "state": "active",
        "tokensPerMinute": 9,
        "expiresAt": "2026-03-01T12:00:00Z",
    }
    assert row("alice", key, NOW)["state"] == "expired"


def test_a_member_that_is_no_key_is_told_without_its_content() -> None:
    found = read_key(b'{"sha256": "puna_the-key-itself"}')
    assert isinstance(found, str)
    assert "the-key-itself" not in found
    assert row("alice", found, NOW)["state"].startswith("invalid: sha256: ")

from __future__ import annotations

import json
from typing import Any

import pytest

from puna_router.config import AccessConfig, ApiKey, EndpointConfig, ExternalConfig
from puna_router.control.keys.ring import KeyRing, KeyRings, read_ring
from puna_router.control.secret import Secret, from_manifest, secret_names

ALICE, BOB = "a" * 64, "b" * 64


def member(**content: Any) -> bytes:
    return json.dumps({"sha256": ALICE, **content}).encode()


def secret(**members: bytes) -> Secret:
    return Secret("chat-keys", members)


def test_a_ring_holds_the_keys_of_its_secret() -> None:
    expected = KeyRing({"alice": ApiKey(sha256=ALICE, burst=3), "bob": ApiKey(sha256=BOB)})
    assert expected == read_ring(secret(alice=member(burst=3), bob=member(sha256=BOB)))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("carol", b"puna_not-a-document", "document: Invalid JSON"),
        ("carol", b"\xff\xfe", "document: Invalid JSON"),
        ("carol", b"{}", "sha256: Field required"),
        ("carol", member(sha256="A" * 64), "sha256: String should match"),
        ("carol", member(tokenPerMinute=5), "tokenPerMinute: Extra inputs are not permitted"),
        ("carol", member(burst=0), "burst: Input should be greater than or equal to 1"),
        ("carol", member(expiresAt="2026-01-01T00:00:00"), "expiresAt: Input should have timezone"),
        ("Carol", member(), "document: String should match pattern"),
        ("carol", member(sha256=BOB), "the same key as bob"),
    ],
)
def test_a_member_that_is_no_key_is_named_and_the_others_work(
    name: str, content: bytes, problem: str
) -> None:
    ring = read_ring(secret(**{"bob": member(sha256=BOB), name: content}))
    assert ring.keys == {"bob": ApiKey(sha256=BOB)}
    (told,) = ring.problems
    assert told.startswith(f"Secret chat-keys, member {name}: {problem}")


def test_what_a_member_holds_is_never_told() -> None:
    (told,) = read_ring(secret(carol=b'{"sha256": "puna_the-key-itself"}')).problems
    assert "the-key-itself" not in told
    assert "the-key-itself" not in repr(secret(carol=b"puna_the-key-itself"))


def test_a_secret_that_cannot_be_used_closes_its_ring() -> None:
    assert read_ring(Secret("chat-keys", problem="there is none")) == KeyRing(
        closed="there is none"
    )


def test_a_ring_is_read_anew_only_when_its_secret_has_changed() -> None:
    rings = KeyRings()
    before = rings.of([secret(alice=member())])["chat-keys"]
    assert rings.of([secret(alice=member())])["chat-keys"] is before
    assert rings.of([secret(alice=member(burst=2))])["chat-keys"] is not before
    assert rings.of([]) == {}


def test_a_manifest_is_decoded() -> None:
    manifest = {"metadata": {"name": "s"}, "data": {"token": "b3Blbg=="}}
    assert from_manifest(manifest) == Secret("s", {"token": b"open"})
    assert from_manifest({"metadata": {"name": "s"}}) == Secret("s")


def test_documents_name_secrets_of_keys_and_of_servers_outside() -> None:
    external = ExternalConfig(
        name="studio", url="https://studio", api_key_secret="token", ca_secret="ca"
    )
    keyed = EndpointConfig(
        name="chat",
        port=1,
        created=0,
        revisions=(),
        access=AccessConfig(secret="chat-keys"),
        external=(external,),
    )
    open_one = EndpointConfig(name="code", port=1, created=0, revisions=())
    assert secret_names([keyed, open_one]) == {"chat-keys", "token", "ca"}

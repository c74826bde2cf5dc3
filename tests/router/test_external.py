"""Servers outside the cluster, beside those of Puna and behind them."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.stub import Recorded, Stub, Stubs

CHAT = "/v1/chat/completions"
KEY = "backend-key"


def context(folder: Path, authority: Authority, *names: str) -> ssl.SSLContext:
    chain, key = authority.issue(*names)
    path = folder / f"{'-'.join(names)}.pem"
    path.write_text(key + chain)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(path)
    return found


def asked(router: RouterProgram, stubs: dict[str, Stub], requests: int) -> Counter[str]:
    """How many of some requests each stub got."""
    before = {name: len(stub.requests) for name, stub in stubs.items()}
    for number in range(requests):
        answer = router.client.post(CHAT, json={"prompt": f"{number}"})
        assert answer.status_code == 200, answer.text
    return Counter({name: len(stub.requests) - before[name] for name, stub in stubs.items()})


def healthy(router: RouterProgram) -> dict[str, bool]:
    """Health by name, as clients are told it; nothing while the picker knows it otherwise."""
    page = router.client.get("/endpoints/chat/status").json()
    found = {backend.get("name", ""): backend["healthy"] for backend in page["backends"]}
    picked = sum(router.picker_hosts().values())
    return found if picked == sum(backend["healthy"] for backend in page["backends"]) else {}


@pytest.fixture
def keyed(tmp_path: Path) -> dict[str, Any]:
    """A router file's members for backends that require a key."""
    path = tmp_path / "key"
    path.write_text(KEY)
    return {"apiKeyFile": str(path)}


@pytest.mark.parametrize("strategy", ["LeastBusy", "RoundRobin"])
def test_an_equal_member_gets_its_part_by_tls_with_its_own_name_and_key(
    stubs: Stubs,
    start_router: StartRouter,
    tmp_path: Path,
    keyed: dict[str, Any],
    strategy: str,
) -> None:
    authority = Authority()
    own = stubs.start()
    studio = stubs.start(tls=context(tmp_path, authority, "localhost"))
    external = {
        "name": "studio",
        "url": f"https://localhost:{studio.port}",
        "slots": 1,
        "apiKeySecret": "studio",
        "caSecret": "studio",
    }
    router = start_router(
        [endpoint("chat", revision(slots=1), strategy=strategy, external=[external])],
        {"chat": [own.backend()]},
        secrets={"studio": {"token": "studio-key", "ca.crt": authority.pem}},
        **keyed,
    )
    eventually(lambda: healthy(router) == {"": True, "studio": True})
    assert studio.check is not None
    assert studio.check.header("host") == f"localhost:{studio.port}"
    got = asked(router, {"own": own, "studio": studio}, 20)
    assert Counter(own=10, studio=10) == got
    assert own.requests[-1].header("authorization") == f"Bearer {KEY}"
    assert own.requests[-1].header("host") == router.url.removeprefix("http://")
    assert studio.requests[-1].header("authorization") == "Bearer studio-key"
    assert studio.requests[-1].header("host") == f"localhost:{studio.port}"
    assert not [name for name, _ in studio.requests[-1].headers if name.startswith("x-puna")]


def test_no_key_goes_where_none_is_required_not_even_with_another_attempt(
    stubs: Stubs, start_router: StartRouter, keyed: dict[str, Any]
) -> None:
    async def break_off(_: Recorded) -> AsyncIterator[bytes]:
        raise ConnectionError
        yield b""

    own, other = stubs.start(break_off), stubs.start()
    external = {"name": "other", "url": f"http://127.0.0.1:{other.port}"}
    router = start_router(
        [endpoint(strategy="RoundRobin", external=[external])], {"chat": [own.backend()]}, **keyed
    )
    eventually(lambda: healthy(router) == {"": True, "other": True})
    for _ in range(10):
        answer = router.client.post(CHAT, json={}, headers={"authorization": "Bearer client"})
        assert answer.status_code == 200, answer.text
    assert len(other.requests) == 10
    assert own.requests
    assert {None} == {request.header("authorization") for request in other.requests}
    assert {f"Bearer {KEY}"} == {request.header("authorization") for request in own.requests}


def test_a_fallback_gets_requests_only_while_no_other_is_healthy(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair, spare = [stubs.start(), stubs.start()], stubs.start()
    external = {"name": "spare", "url": f"http://127.0.0.1:{spare.port}", "priority": 1}
    router = start_router(
        [endpoint(external=[external])], {"chat": [stub.backend() for stub in pair]}
    )
    eventually(lambda: list(healthy(router).values()) == [True] * 2)
    assert asked(router, {"spare": spare}, 30) == Counter(spare=0)
    pair[0].health = 503
    router.wait_healthy(1)
    assert asked(router, {"spare": spare}, 30) == Counter(spare=0)
    pair[1].health = 503
    router.wait_healthy(0)
    eventually(lambda: asked(router, {"spare": spare}, 5) == Counter(spare=5))
    pair[1].health = 200
    router.wait_healthy(1)
    eventually(lambda: asked(router, {"spare": spare}, 5) == Counter(spare=0))


def test_an_external_server_serves_alone_before_the_first_revision(
    stubs: Stubs, start_router: StartRouter
) -> None:
    # It has no page of health, which is not held against it.
    alone = stubs.start()
    alone.health = 404
    external = {"name": "alone", "url": f"http://127.0.0.1:{alone.port}"}
    router = start_router([endpoint() | {"revisions": [], "external": [external]}], {})
    eventually(lambda: healthy(router) == {"alone": True})
    assert asked(router, {"alone": alone}, 3) == Counter(alone=3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"caSecret": "other"}, ""),
        ({"url": "https://127.0.0.1:{port}"}, ""),  # its certificate is for another name
        ({"caSecret": "none"}, "there is no member ca.crt of a Secret none"),
        ({"apiKeySecret": "broken"}, "holds no key"),
        ({"caSecret": "broken"}, "holds no certificate"),
        ({"allowedNetworks": ["10.0.0.0/8"]}, "127.0.0.1 is not in an allowed network"),
        ({"url": "https://nowhere.invalid:{port}"}, "nowhere.invalid has no address"),
    ],
)
def test_a_server_that_cannot_be_trusted_gets_nothing(
    stubs: Stubs, start_router: StartRouter, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    authority = Authority()
    own = stubs.start()
    studio = stubs.start(tls=context(tmp_path, authority, "localhost"))
    external = {
        "name": "studio",
        "url": "https://localhost:{port}",
        "caSecret": "studio",
        **change,
    }
    external["url"] = external["url"].format(port=studio.port)
    router = start_router(
        [endpoint(external=[external])],
        {"chat": [own.backend()]},
        secrets={
            "studio": {"ca.crt": authority.pem},
            "other": {"ca.crt": Authority().pem},
            "broken": {"token": "two\nlines", "ca.crt": "no certificate"},
        },
    )
    router.wait_healthy(1)
    assert asked(router, {"studio": studio}, 10) == Counter(studio=0)
    assert studio.checks == 0
    eventually(lambda: told in router.log.read_text())

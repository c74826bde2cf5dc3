"""TLS between clients and the router, with a certificate that is replaced."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from tests.certificates import Authority
from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually
from tests.router.stub import Gate, Stubs, stream

CHAT = "/v1/chat/completions"


def put(folder: Path, authority: Authority) -> dict[str, str]:
    """A certificate for this host, in its place at once as a mounted Secret is."""
    pair = dict(zip(("certificate", "key"), authority.issue("127.0.0.1"), strict=True))
    for name, text in pair.items():
        (folder / f"{name}.new").write_text(text)
    for name in pair:
        (folder / f"{name}.new").replace(folder / f"{name}.pem")
    return {name: str(folder / f"{name}.pem") for name in pair}


def client(router: RouterProgram, authority: Authority) -> httpx.Client:
    trust = ssl.create_default_context(cadata=authority.pem)
    return httpx.Client(base_url=router.url.replace("http:", "https:"), verify=trust, timeout=20)


def accepts(router: RouterProgram, authority: Authority) -> bool:
    with client(router, authority) as trusting:
        try:
            return trusting.get("/health").status_code == 200
        except httpx.TransportError:
            return False


def test_a_certificate_is_followed_and_ends_no_stream(
    stubs: Stubs, start_router: StartRouter, tmp_path: Path
) -> None:
    first, second = Authority("first"), Authority("second")
    gate = Gate()
    stub = stubs.start(stream(80, 0.01, gate))
    router = start_router([endpoint()], {"chat": [stub.backend()]}, tls=put(tmp_path, first))
    eventually(lambda: router.state().endpoints["chat"].backends[0].healthy)
    assert accepts(router, first)
    assert not accepts(router, second)
    with client(router, first) as early, early.stream("POST", CHAT, json={}) as answer:
        lines = answer.iter_lines()
        next(lines)
        put(tmp_path, second)
        eventually(lambda: accepts(router, second))
        assert not accepts(router, first)
        gate.open()
        text = "\n".join(lines)
    assert text.count('"token"') == 79
    # A key that is not the certificate's changes nothing.
    (tmp_path / "key.pem").write_text(Authority().issue("x")[1])
    eventually(lambda: "key values mismatch" in router.log.read_text().lower())
    assert accepts(router, second)
    # Nobody is served without TLS.
    try:
        plain = router.client.get("/health").status_code
    except httpx.TransportError:
        plain = 0
    assert plain == 0


def test_without_a_certificate_nobody_is_served_and_the_router_says_why(
    stubs: Stubs, start_router: StartRouter, tmp_path: Path
) -> None:
    authority = Authority()
    stub = stubs.start()
    names = {"certificate": f"{tmp_path}/certificate.pem", "key": f"{tmp_path}/key.pem"}
    router = start_router([endpoint()], {"chat": [stub.backend()]}, tls=names, wait=False)
    eventually(lambda: "certificate.pem" in router.ready_text())
    assert not accepts(router, authority)
    put(tmp_path, authority)
    eventually(router.ready)
    assert accepts(router, authority)

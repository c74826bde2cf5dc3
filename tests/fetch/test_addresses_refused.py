"""Where a fetch must not go, by any road."""

from __future__ import annotations

import pytest

from puna_fetch.config import FetchReason
from tests.fetch.program import STUBBORN, Program
from tests.fetch.source_server import SourceServer, redirect

REFUSED_LITERALS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "224.0.0.1",
]


@pytest.mark.parametrize("host", REFUSED_LITERALS)
def test_an_address_that_is_not_public_is_refused(program: Program, host: str) -> None:
    outcome = program.run(f"http://{host}/model.gguf", *STUBBORN, networks=())
    assert outcome.reason == FetchReason.ADDRESS_REFUSED


def test_a_name_that_resolves_to_loopback_is_refused(
    program: Program, source: SourceServer
) -> None:
    failure = program.run(source.url(host="localhost"), networks=()).failure
    assert failure.reason == FetchReason.ADDRESS_REFUSED
    assert "loopback" in failure.message
    assert source.asked == []


def test_an_allowed_network_allows_the_name_too(program: Program, source: SourceServer) -> None:
    assert program.run(source.url(host="localhost")).code == 0
    assert source.asked[0].headers["host"] == f"localhost:{source.port}"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1/",
        "http://user:password@127.0.0.1/",
    ],
)
def test_a_redirect_into_the_network_is_refused(
    program: Program, source: SourceServer, location: str
) -> None:
    source.always = redirect(location)
    outcome = program.run(source.url(), *STUBBORN)
    assert outcome.reason == FetchReason.ADDRESS_REFUSED
    assert len(source.asked) == 1
    assert "password@" not in outcome.termination


def test_a_redirect_to_where_it_may_go_is_followed(program: Program, source: SourceServer) -> None:
    source.behaviours += [redirect("/other?key=1"), redirect(source.url("/third", "localhost"))]
    assert program.run(source.url()).code == 0
    assert [asked.path for asked in source.asked] == ["/model.gguf", "/other?key=1", "/third"]


def test_a_network_that_is_none_is_named(program: Program, source: SourceServer) -> None:
    failure = program.run(source.url(), networks=("127.0.0.1/8",)).failure
    assert failure.reason == FetchReason.INVALID_REQUEST
    assert "127.0.0.1/8" in failure.message


def test_a_proxy_of_the_environment_is_no_way_around(
    program: Program, source: SourceServer
) -> None:
    around = Program(program.folder, program.sha256, {"http_proxy": source.url("")})
    outcome = around.run("http://10.0.0.1/model.gguf", *STUBBORN, networks=("127.0.0.0/8",))
    assert outcome.reason == FetchReason.ADDRESS_REFUSED
    assert source.asked == []

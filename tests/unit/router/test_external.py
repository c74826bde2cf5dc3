from __future__ import annotations

from typing import Any

import pytest

from puna_router.config import ExternalConfig
from puna_router.control.addresses import is_allowed
from puna_router.control.external import UnusableExternalError, external_hosts
from tests.certificates import Authority

CA = Authority().pem


def config(url: str = "https://studio.lan:8443", **more: Any) -> ExternalConfig:
    return ExternalConfig(name="studio", url=url, **more)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://studio.lan", (False, "studio.lan", 80, "studio.lan")),
        ("https://studio.lan/", (True, "studio.lan", 443, "studio.lan")),
        ("https://studio.lan:8443", (True, "studio.lan", 8443, "studio.lan:8443")),
        ("http://10.0.0.1:80", (False, "10.0.0.1", 80, "10.0.0.1:80")),
        ("http://[fd00::1]:80", (False, "fd00::1", 80, "[fd00::1]:80")),
    ],
)
def test_a_url_says_how_a_server_is_spoken_to(url: str, expected: tuple[Any, ...]) -> None:
    (host,) = external_hosts(config(url), ["10.0.0.1"], {})
    server = host.server
    assert expected == (server.encrypted, server.host, server.port, server.authority)


def test_its_addresses_share_its_slots() -> None:
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    hosts = external_hosts(config(slots=4), addresses, {})
    assert [(host.address, host.slots) for host in hosts] == list(
        zip(addresses, (2, 1, 1), strict=True)
    )
    (only,) = external_hosts(config(slots=1), addresses, {})
    assert (only.address, only.slots) == ("10.0.0.1", 1)


def test_key_and_authorities_come_from_secrets() -> None:
    named = config(api_key_secret="s", api_key_member="key", ca_secret="s")
    (host,) = external_hosts(named, ["10.0.0.1"], {"s": {"key": b" k1\n", "ca.crt": CA.encode()}})
    assert (host.server.key, host.server.authorities) == ("k1", CA)
    (plain,) = external_hosts(config("http://a", ca_secret="none"), ["10.0.0.1"], {})
    assert (plain.server.key, plain.server.authorities) == (None, None)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"url": "http://a:99999"}, "url: Port out of range"),
        ({"api_key_secret": "none"}, "no member token of a Secret none"),
        ({"api_key_secret": "bad"}, "holds no key of printable ASCII"),
        ({"api_key_secret": "bad", "api_key_member": "raw"}, "is no text"),
        ({"ca_secret": "bad"}, "holds no certificate"),
        ({"allowed_networks": ()}, "10.0.0.1 is not in an allowed network"),
    ],
)
def test_what_is_wrong_is_told(more: dict[str, Any], told: str) -> None:
    secrets = {"bad": {"token": b"a b", "raw": b"\xff", "ca.crt": b"x"}}
    with pytest.raises(UnusableExternalError, match=told):
        external_hosts(config(**more), ["10.0.0.1"], secrets)
    with pytest.raises(UnusableExternalError, match="has no address"):
        external_hosts(config(), [], secrets)


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("93.184.216.34", (), True),
        ("2606:2800:220:1::1", (), True),
        ("10.1.2.3", (), False),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("127.0.0.1", ("10.0.0.0/8",), False),
        ("169.254.169.254", (), False),
        ("::ffff:169.254.169.254", (), False),
        ("64:ff9b::a9fe:a9fe", (), False),
        ("2002:a9fe:a9fe::", (), False),
        ("168.63.129.16", (), False),
        ("224.0.0.1", (), False),
        ("::1", (), False),
        ("fe80::1%eth0", (), False),
    ],
)
def test_an_address_has_to_be_public_or_allowed(
    address: str,
    networks: tuple[str, ...],
    allowed: bool,  # noqa: FBT001
) -> None:
    assert allowed is is_allowed(address, networks)

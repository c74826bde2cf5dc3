from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_fetch.addresses import parse_networks, refusal


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("10.96.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("fd00:ec2::254", "private"),
        ("100.100.100.200", "no public"),
        ("192.0.0.192", "no public"),
        ("255.255.255.255", "no public"),
        ("168.63.129.16", "metadata"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("2002:a00:1::", "private"),
        ("::7f00:1", "loopback"),
    ],
)
def test_what_is_not_public_is_refused_by_its_kind(address: str, kind: str) -> None:
    assert kind in (refusal(address, ()) or "")


@pytest.mark.parametrize("address", ["1.1.1.1", "18.66.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert refusal(address, ()) is None


def test_an_allowed_network_allows_its_addresses_in_either_form() -> None:
    allowed = parse_networks(["10.0.0.0/8", "fd00::/8"])
    assert refusal("10.1.2.3", allowed) is None
    assert refusal("::ffff:10.1.2.3", allowed) is None
    assert refusal("fd12::1", allowed) is None
    assert refusal("192.168.1.1", allowed) is not None


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_networks(["10.0.0.1/8"])


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_inside_an_ipv6_one(number: int) -> None:
    plain = refusal(str(IPv4Address(number)), ())
    assert refusal(str(IPv6Address(0xFFFF00000000 + number)), ()) == plain
    assert refusal(str(IPv6Address((0x64FF9B << 96) + number)), ()) == plain

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_router.config import AccessConfig, ApiKey, EndpointConfig
from puna_router.control.keys.allowance import picker_keys, token_limits
from puna_router.control.keys.limits import SHORTEST_FILL, limits
from puna_router.control.keys.rate import Rate, rate_of
from puna_router.control.keys.ring import KeyRing
from puna_router.control.keys.table import access_table
from puna_router.picker.config import PickerKey

ALICE, BOB = "a" * 64, "b" * 64
ENDS = datetime(2026, 3, 1, 12, tzinfo=UTC)


def endpoint(name: str = "chat", **access: Any) -> EndpointConfig:
    return EndpointConfig(
        name=name,
        port=1,
        created=0,
        revisions=(),
        access=AccessConfig(secret="keys", **access),
    )


def ring(**keys: ApiKey) -> dict[str, KeyRing]:
    return {"keys": KeyRing(keys)}


def buckets(*configs: EndpointConfig, **keys: ApiKey) -> dict[str, Any]:
    found = limits(configs, ring(**keys), 1)["descriptors"]
    return {item["entries"][0]["value"]: item["token_bucket"] for item in found}


def test_a_key_has_its_own_rate_or_the_endpoints() -> None:
    access = AccessConfig(secret="keys", requests_per_minute=60, burst=5)
    assert rate_of(access, ApiKey(sha256=ALICE)) == Rate(60, 5)
    assert rate_of(access, ApiKey(sha256=ALICE, burst=9)) == Rate(60, 9)
    assert rate_of(access, ApiKey(sha256=ALICE, requests_per_minute=6)) == Rate(6, 5)


@pytest.mark.parametrize(
    ("routers", "share"), [(1, Rate(120, 30)), (2, Rate(60, 15)), (100, Rate(1, 1))]
)
def test_routers_share_a_rate_and_each_has_one_request(routers: int, share: Rate) -> None:
    assert Rate(120, 30).share(routers) == share


@pytest.mark.parametrize(("rate", "pace"), [(1, 60), (7, 9), (60, 1), (6000, 1)])
def test_the_pace_is_enough_for_one_more_request(rate: int, pace: int) -> None:
    assert Rate(rate, 1).pace == pace


def test_every_endpoint_and_key_has_a_bucket() -> None:
    keys = {"alice": ApiKey(sha256=ALICE), "bob": ApiKey(sha256=BOB, endpoints=("code",))}
    assert buckets(endpoint("chat"), endpoint("code"), **keys).keys() == {
        "chat/alice",
        "code/alice",
        "code/bob",
    }


@given(st.integers(1, 1_000_000))
def test_a_bucket_fills_at_its_rate_and_no_faster_than_envoy_takes(rate: int) -> None:
    key = ApiKey(sha256=ALICE, requests_per_minute=rate)
    bucket = buckets(endpoint(), alice=key)["chat/alice"]
    seconds = float(bucket["fill_interval"].removesuffix("s"))
    assert seconds >= SHORTEST_FILL
    assert bucket["tokens_per_fill"] * 60 / seconds == pytest.approx(rate, rel=0.02)


def test_the_table_says_who_opens_what() -> None:
    keys = {
        "alice": ApiKey(sha256=ALICE, expires_at=ENDS),
        "bob": ApiKey(sha256=BOB, endpoints=("code",), requests_per_minute=6),
    }
    assert access_table([endpoint("chat"), endpoint("code")], ring(**keys), 1) == {
        "keyed/chat": "true",
        f"key/chat/{ALICE}": f"alice {int(ENDS.timestamp())} 1 120",
        f"key/chat/{BOB}": "",
        "keyed/code": "true",
        f"key/code/{ALICE}": f"alice {int(ENDS.timestamp())} 1 120",
        f"key/code/{BOB}": "bob 0 10 6",
    }


@pytest.mark.parametrize("rings", [{}, {"keys": KeyRing(closed="Secret keys: forbidden")}])
def test_an_endpoint_whose_keys_are_unknown_is_closed_and_tells_nothing(
    rings: dict[str, KeyRing],
) -> None:
    table = access_table([endpoint()], rings, 1)
    assert table == {"keyed/chat": "true", "closed/chat": "the API keys of chat cannot be read"}


def test_an_endpoint_without_keys_has_no_entry_so_that_nobody_comes_in() -> None:
    assert access_table([endpoint()], ring(), 1) == {"keyed/chat": "true"}


def test_the_picker_learns_of_concurrency_and_of_spent_tokens() -> None:
    keys = {
        "alice": ApiKey(sha256=ALICE, max_concurrency=4),
        "bob": ApiKey(sha256=BOB, endpoints=("code",)),
    }
    assert picker_keys(endpoint(), ring(**keys), {("chat", "alice"): 1790}) == {
        "alice": PickerKey(max_concurrency=4, exhausted_until=1790)
    }
    open_one = EndpointConfig(name="open", port=1, created=0, revisions=())
    assert picker_keys(open_one, ring(**keys), {}) == {}


def test_tokens_are_limited_where_a_key_says_so() -> None:
    keys = {"alice": ApiKey(sha256=ALICE, tokens_per_minute=100), "bob": ApiKey(sha256=BOB)}
    configs = [endpoint("chat"), endpoint("code")]
    assert token_limits(configs, ring(**keys), 3) == {
        ("chat", "alice"): 33,
        ("code", "alice"): 33,
    }

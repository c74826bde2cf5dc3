from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.core.naming import child_name, digest8, endpoint_labels, endpoint_port, labels

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


def test_digests_are_frozen_since_they_are_part_of_names() -> None:
    assert digest8({"b": 1, "a": ["ä", None, True]}) == "661cb31a"
    assert digest8("") == "12ae32cb"


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_order_of_members_changes_no_digest(value: dict[str, object]) -> None:
    assert digest8(dict(reversed(list(value.items())))) == digest8(value)


def test_ports_are_frozen_since_stored_pods_hold_them() -> None:
    assert endpoint_port("team", "chat") == 21487
    assert endpoint_port("default", "chat") == 22941


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_port_is_between_20000_and_29999(namespace: str, name: str) -> None:
    assert 20_000 <= endpoint_port(namespace, name) <= 29_999


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("chat", "default", "0123abcd"), "chat-default-0123abcd"),
        (("a" * 63,), "a" * 63),
    ],
)
def test_a_short_name_is_its_parts(parts: tuple[str, ...], expected: str) -> None:
    assert child_name(*parts) == expected


def test_a_long_name_ends_in_a_digest_and_never_in_two_dashes() -> None:
    made = child_name("a" * 53, "b" * 20)
    assert made == f"{'a' * 53}-{digest8(('a' * 53, 'b' * 20))}"
    assert len(made) == 62


def test_every_child_says_what_it_is_and_whose() -> None:
    assert labels(instance="chat", component="router", extra={"x": "y"}) == {
        "app.kubernetes.io/name": "puna",
        "app.kubernetes.io/instance": "chat",
        "app.kubernetes.io/component": "router",
        "app.kubernetes.io/part-of": "puna",
        "app.kubernetes.io/managed-by": "puna",
        "x": "y",
    }
    made = endpoint_labels("chat", "llama-server", pool="gpu", process="0123abcd")
    assert {key: value for key, value in made.items() if key.startswith("puna.dev/")} == {
        "puna.dev/endpoint": "chat",
        "puna.dev/pool": "gpu",
        "puna.dev/process": "0123abcd",
    }

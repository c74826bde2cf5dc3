from __future__ import annotations

import pytest

from puna.endpoint.orders import Orders, read_orders
from puna_cli.canary import order_value

REVISION = "8f3a12cd"


def test_orders_are_read_from_annotations_and_kept_as_such() -> None:
    annotations = {"puna.dev/promote": REVISION, "puna.dev/abort": "00000000"}
    orders = read_orders(annotations | {"example.org/other": "x"})
    assert orders == Orders(promote=REVISION, abort="00000000")
    assert orders.annotations() == annotations
    assert Orders().annotations() == {}


@pytest.mark.parametrize(
    ("value", "means"),
    [
        (REVISION, True),
        (f"{REVISION}/2", True),
        (f"{REVISION}2", False),
        ("00000000", False),
        ("", False),
        (None, False),
    ],
)
def test_an_order_means_the_revision_that_it_names(value: str | None, *, means: bool) -> None:
    assert (Orders(abort=value).of(REVISION).abort is not None) is means


def test_an_old_order_is_told_from_a_new_one_by_its_value() -> None:
    old = Orders(promote=REVISION)
    assert Orders(promote=REVISION, abort=REVISION).without(old) == Orders(abort=REVISION)
    again = Orders(promote=f"{REVISION}/2")
    assert again.without(old) == again


def test_an_old_order_is_remembered_for_as_long_as_it_is_there() -> None:
    old = Orders(promote=REVISION, abort=REVISION)
    assert old.within(Orders(promote=REVISION, abort=f"{REVISION}/2")) == Orders(promote=REVISION)
    assert old.within(Orders()) == Orders()


@pytest.mark.parametrize(
    ("present", "value"),
    [(None, REVISION), ("00000000", REVISION), (REVISION, f"{REVISION}/7"), ("", REVISION)],
)
def test_the_command_makes_a_repeated_order_a_new_one(present: str | None, value: str) -> None:
    assert order_value(REVISION, present, 7) == value
    assert read_orders({"puna.dev/abort": value}).of(REVISION).abort == value

from __future__ import annotations

from puna_router.control.lingering import LINGER_SECONDS, missed_since


def test_an_endpoint_without_a_document_is_missed_from_the_first_look_on() -> None:
    assert missed_since(["chat", "other"], ["other"], {}, 5.0) == {"chat": 5.0}
    assert missed_since(["chat", "other"], ["other"], {"chat": 5.0}, 6.0) == {"chat": 5.0}


def test_an_endpoint_whose_document_comes_back_is_not_missed() -> None:
    assert missed_since(["chat"], ["chat"], {"chat": 5.0}, 5.5) == {}


def test_an_endpoint_that_is_missed_for_long_is_gone() -> None:
    assert missed_since(["chat"], [], {"chat": 5.0}, 5.0 + LINGER_SECONDS) == {}


def test_an_endpoint_that_has_never_been_served_is_not_missed() -> None:
    assert missed_since([], [], {"chat": 5.0}, 5.0) == {}

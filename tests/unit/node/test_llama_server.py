"""How a llama-server learns that it is to end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from puna_node.llama_server import LOOKS, has_to_drain


def signal_at(look: int | None) -> tuple[list[float | None], Callable[[float | None], bool]]:
    """Waits for a signal that comes during one of them, or after all of them."""
    waited: list[float | None] = []

    def wait(seconds: float | None) -> bool:
        waited.append(seconds)
        return seconds is None or len(waited) == look

    return waited, wait


@pytest.mark.parametrize("look", [1, 2, len(LOOKS)])
def test_a_signal_ends_the_wait(look: int) -> None:
    waited, wait = signal_at(look)
    assert has_to_drain(wait, lambda: True)
    assert waited == list(LOOKS[:look])


def test_it_is_waited_for_without_end_once_the_server_is_there_to_stay() -> None:
    waited, wait = signal_at(None)
    assert has_to_drain(wait, lambda: True)
    assert waited == [*LOOKS, None]


@pytest.mark.parametrize("gone", [1, 2, len(LOOKS)])
def test_a_server_that_ended_by_a_signal_that_llama_cpp_took_is_noticed(gone: int) -> None:
    """Also if it listens for some seconds yet, as on a busy machine."""
    waited, wait = signal_at(None)
    assert not has_to_drain(wait, lambda: len(waited) < gone)
    assert waited == list(LOOKS[:gone])

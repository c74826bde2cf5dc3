from __future__ import annotations

from puna_router.picker.slots import Ledger


def test_a_server_has_the_slots_of_the_newest_document() -> None:
    ledger = Ledger()
    ledger.configure({"a": 2})
    server = ledger.server("a")
    ledger.take(server)
    ledger.configure({"a": 1, "b": 4})
    assert ledger.server("a") is server
    assert (server.slots, server.in_flight, server.free) == (1, 1, 0)
    assert ledger.server("b").free == 4


def test_a_server_that_leaves_and_comes_back_still_has_its_requests() -> None:
    ledger = Ledger()
    ledger.configure({"a": 2})
    server = ledger.server("a")
    ledger.take(server)
    ledger.configure({})
    assert (server.slots, server.free, len(ledger)) == (0, 0, 1)
    ledger.configure({"a": 2})
    assert ledger.server("a") is server
    assert server.free == 1


def test_a_server_that_has_left_is_forgotten_with_its_last_request() -> None:
    ledger = Ledger()
    ledger.configure({"a": 2, "idle": 1})
    server = ledger.server("a")
    ledger.take(server)
    ledger.take(server)
    ledger.configure({})
    ledger.release(server)
    assert len(ledger) == 1
    ledger.release(server)
    assert len(ledger) == 0
    ledger.configure({"a": 2})
    assert ledger.server("a") is not server


def test_fewer_slots_than_requests_are_none_free() -> None:
    ledger = Ledger()
    ledger.configure({"a": 3})
    server = ledger.server("a")
    for _ in range(3):
        ledger.take(server)
    ledger.configure({"a": 1})
    assert server.free == 0
    ledger.release(server)
    assert server.free == 0

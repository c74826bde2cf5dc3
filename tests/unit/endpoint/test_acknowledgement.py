from __future__ import annotations

from datetime import timedelta

import pytest

from puna.endpoint.acknowledgement import is_acknowledged, rejection, serves
from puna.endpoint.observed import RouterObservation
from puna_router.config import EndpointPhase
from tests.factories import NOW, router, router_state

WANTED = router(state=router_state("wanted"))
OLD = router("puna-router-2", state=router_state("old"))
BLIND = router("puna-router-3")
SILENT = router("puna-router-4", reachable=False)
TIMEOUT = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("routers", "waited", "expected"),
    [
        ((), 0, True),
        ((WANTED,), 0, True),
        ((WANTED, OLD), 3600, False),
        ((WANTED, BLIND), 3600, False),
        ((WANTED, SILENT), 30, False),
        ((WANTED, SILENT), 31, True),
        ((OLD, SILENT), 31, False),
    ],
)
def test_every_router_has_to_run_a_wanted_document(
    routers: tuple[RouterObservation, ...], waited: int, *, expected: bool
) -> None:
    since = NOW - timedelta(seconds=waited)
    digests = frozenset({"wanted", "wanted too"})
    assert is_acknowledged(routers, digests, since=since, now=NOW, timeout=TIMEOUT) is expected


def test_a_silent_router_is_waited_for_as_long_as_no_beginning_is_known() -> None:
    digests = frozenset({"wanted"})
    assert not is_acknowledged((SILENT,), digests, since=None, now=NOW, timeout=TIMEOUT)


def test_a_router_serves_once_it_runs_the_document_and_sees_a_backend() -> None:
    digests = frozenset({"wanted"})
    no_backend = router(state=router_state("wanted", healthy=0))
    assert serves((WANTED,), digests)
    assert serves((WANTED, SILENT), digests)
    assert not serves((WANTED, OLD), digests)
    assert not serves((WANTED, BLIND), digests)
    assert not serves((no_backend,), digests)


def test_the_first_router_that_refuses_is_quoted() -> None:
    def refusing(name: str, message: str | None) -> RouterObservation:
        state = router_state("old", phase=EndpointPhase.REJECTED, message=message)
        return router(name, state=state)

    assert rejection((WANTED, SILENT)) is None
    assert rejection((refusing("b", "two"), refusing("a", "one"))) == "router a: one"
    assert rejection((refusing("a", None),)) == "router a: no reason given"

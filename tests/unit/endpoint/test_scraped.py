"""What Prometheus has of routers is read as their own answers are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from puna.core.plan import Ref
from puna.endpoint.samples import Reading, begin
from puna.endpoint.scraped import Answer, readings, samples_query
from puna_router.samples import UPTIME, RevisionSamples, flat
from tests.factories import NOW

CHAT = Ref("team", "chat")
STABLE, CANARY = "aaaaaaaa", "bbbbbbbb"
START = NOW - timedelta(hours=1)
LATER = NOW + timedelta(seconds=30)


def scrape(
    *requests: tuple[datetime, int],
    pod: str = "router-1",
    start: datetime = START,
    revision: str = STABLE,
) -> list[dict[str, Any]]:
    """Series of one revision, with so many requests at each scrape."""
    labels = {"pod": pod, "start": start.isoformat(), "revision": f"chat-{revision}"}

    def numbers(at: datetime, count: int) -> dict[str, float]:
        return {UPTIME: (at - start).total_seconds()} | flat(RevisionSamples(requests=count))

    return [
        {
            "metric": {**labels, "sample": name},
            "values": [(at.timestamp(), repr(numbers(at, count)[name])) for at, count in requests],
        }
        for name in numbers(NOW, 0)
    ]


def read(*series: list[dict[str, Any]]) -> dict[str, Reading]:
    result = [item for group in series for item in group]
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return readings(Answer.model_validate(document), CHAT)


def test_one_endpoint_is_asked_about() -> None:
    assert samples_query(CHAT) == 'puna_router_samples{namespace="team",endpoint="chat"}[2m]'


def test_the_newest_scrape_of_every_router_counts() -> None:
    found = read(
        scrape((NOW, 3), (LATER, 5)),
        scrape((NOW, 1), (LATER, 2), revision=CANARY),
        scrape((NOW, 7), pod="router-2"),
    )
    assert {pod: reading.of(STABLE).requests for pod, reading in found.items()} == {
        "router-1": 5,
        "router-2": 7,
    }
    assert found["router-1"].of(CANARY).requests == 2
    assert found["router-1"].at == LATER
    assert (found["router-1"].started, found["router-1"].start) == (START, START.isoformat())


def test_a_start_that_is_over_is_not_counted_any_more() -> None:
    found = read(scrape((NOW, 90)), scrape((LATER, 4), start=NOW + timedelta(seconds=9)))
    assert found["router-1"].of(STABLE).requests == 4


def test_a_revision_that_is_gone_from_a_scrape_has_nothing_of_an_older_one() -> None:
    found = read(scrape((NOW, 3), (LATER, 5)), scrape((NOW, 8), revision=CANARY))
    assert found["router-1"].revisions.keys() == {STABLE}


def test_what_cannot_be_read_tells_nothing() -> None:
    (uptime, *_), good = scrape((NOW, 3)), scrape((NOW, 4), pod="router-2")
    unnamed = {**uptime, "metric": {"revision": f"chat-{STABLE}", "sample": "requests"}}
    found = read([unnamed], good, *(strange(pod, number) for pod, number in STRANGE.items()))
    assert found.keys() == {"router-2"}
    assert read() == {}


STRANGE = {"router-3": "NaN", "router-4": "+Inf", "router-5": "1e300", "router-6": None}


def strange(pod: str, uptime: str | None) -> list[dict[str, Any]]:
    """A router with such an age, or without any."""
    first, *others = scrape((NOW, 3), pod=pod)
    return others if uptime is None else [{**first, "values": [(0, uptime)]}, *others]


def test_a_scrape_of_before_the_step_says_nothing_about_it() -> None:
    """Requests that came between that scrape and the step would count as the step's."""
    before = read(scrape((NOW - timedelta(seconds=20), 100))).values()
    baseline = begin(before, (STABLE, CANARY), since=NOW, reference=None)
    assert baseline.routers == {}
    assert baseline.window(before, STABLE, NOW) == RevisionSamples()
    first = read(scrape((LATER, 130))).values()
    baseline = baseline.joined(first, (STABLE, CANARY), NOW)
    assert baseline.window(first, STABLE, NOW) == RevisionSamples()
    second = read(scrape((LATER + timedelta(seconds=30), 160))).values()
    assert baseline.window(second, STABLE, NOW).requests == 30


def test_a_router_that_began_within_the_step_counts_from_its_start() -> None:
    baseline = begin((), (STABLE, CANARY), since=NOW, reference=None)
    born = NOW + timedelta(seconds=10)
    found = tuple(read(scrape((LATER, 12), start=born)).values())
    assert baseline.joined(found, (STABLE, CANARY), NOW).window(found, STABLE, NOW).requests == 12

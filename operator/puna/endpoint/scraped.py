"""Scraped: what routers have counted, as Prometheus has it.

The newest scrape of every router is taken as that router's own answer would be, so everything that
holds of these holds here: a router that starts again, several of them, one that is silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from puna.core.plan import Ref
from puna.endpoint.samples import Reading
from puna_router.samples import SERIES, UPTIME, RevisionSamples, from_flat

LOOK_BACK: Final = "2m"
"""Age of a scrape up to which a router counts as heard of."""


class Series(BaseModel):
    """One series with the values that were scraped, each with its time in Unix seconds."""

    metric: dict[str, str]
    values: list[tuple[float, float]]


class Matrix(BaseModel):
    """Result of a query for a range."""

    resultType: Literal["matrix"]  # noqa: N815 - Prometheus's own name
    result: list[Series]


class Answer(BaseModel):
    """Answer of `GET /api/v1/query` that succeeded."""

    data: Matrix


class _Scrape(NamedTuple):
    """Of one scrape of one router: its time comes first, so that the newest is the largest."""

    at: float
    start: str
    router: str


def samples_query(endpoint: Ref) -> str:
    """Return the query for what routers have counted of an endpoint."""
    labels = f'namespace="{endpoint.namespace}",endpoint="{endpoint.name}"'
    return f"{SERIES}{{{labels}}}[{LOOK_BACK}]"


def readings(answer: Answer, endpoint: Ref) -> dict[str, Reading]:
    """Return what each router counted when it was scraped last, by its Pod.

    A router whose samples cannot be read tells nothing.
    """
    scrapes: dict[_Scrape, dict[str, dict[str, float]]] = {}
    for scrape, revision, sample, value in _values(answer):
        name = revision.removeprefix(f"{endpoint.name}-")
        scrapes.setdefault(scrape, {}).setdefault(name, {})[sample] = value
    newest: dict[str, _Scrape] = {}
    for scrape in sorted(scrapes):
        newest[scrape.router] = scrape
    found = ((router, _reading(scrape, scrapes[scrape])) for router, scrape in newest.items())
    return {router: reading for router, reading in found if reading is not None}


def _values(answer: Answer) -> Iterator[tuple[_Scrape, str, str, float]]:
    """Yield the newest value of every series, with its revision and its sample."""
    for series in answer.data.result:
        labels = series.metric
        if series.values and {"pod", "start", "revision", "sample"} <= labels.keys():
            at, value = series.values[-1]
            scrape = _Scrape(at, labels["start"], labels["pod"])
            yield scrape, labels["revision"], labels["sample"], value


def _reading(scrape: _Scrape, revisions: dict[str, dict[str, float]]) -> Reading | None:
    if not all(isfinite(number) for numbers in revisions.values() for number in numbers.values()):
        return None
    try:
        samples: dict[str, RevisionSamples] = {
            name: from_flat(numbers) for name, numbers in revisions.items()
        }
        uptime = max(numbers[UPTIME] for numbers in revisions.values())
        at = datetime.fromtimestamp(scrape.at, UTC)
        started = at - timedelta(seconds=uptime)
    except (ValidationError, LookupError, OverflowError, ValueError):
        return None
    return Reading(scrape.router, started, samples, scrape.start, at=at)

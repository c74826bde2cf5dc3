from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from puna_router.control.compared import TOLD_SECONDS, Compared
from puna_router.control.samples import parse
from puna_router.samples import (
    SERIES,
    EndpointSamples,
    RevisionSamples,
    Spread,
    flat,
    from_flat,
)
from puna_router.series.samples import SampleCollector

STABLE, CANARY, FORMER = "aaaaaaaa", "bbbbbbbb", "cccccccc"


def counter(name: str, value: int, *, cluster: str = f"chat-{STABLE}") -> dict[str, Any]:
    kind, _, rest = name.partition(".")
    tags = f"endpoint.chat.revision.{cluster}" + (f".{rest}" if rest else "")
    return {"name": f"puna.{kind}.{tags}", "value": value}


def histogram(name: str, cluster: str, *bins: tuple[float, float, int]) -> dict[str, Any]:
    totals = [
        {"lower_bound": bound, "width": width, "count": count} for bound, width, count in bins
    ]
    details = [{"name": f"puna.{name}.endpoint.chat.revision.{cluster}", "totals": totals}]
    return {"histograms": {"details": details}}


def read(*stats: dict[str, Any], endpoint: str = "chat") -> dict[str, RevisionSamples]:
    return parse({"stats": stats}, endpoint, (STABLE, CANARY))


def test_requests_are_added_up_over_keys_pools_and_codes() -> None:
    found = read(
        counter("requests.code.200", 3),
        counter("requests.key.alice.code.200", 4),
        counter("requests.key.alice.code.500", 2),
        counter("failed_requests", 2),
        counter("generated_tokens.key.alice", 70),
        counter("generation_milliseconds", 900),
    )
    assert found == {
        STABLE: RevisionSamples(
            requests=9, failed=2, generated_tokens=70, generation_milliseconds=900
        ),
        CANARY: RevisionSamples(),
    }


def test_what_limits_of_a_key_refuse_counts_for_nobody() -> None:
    found = read(
        counter("requests.key.alice.code.200", 4),
        counter("requests.key.alice.code.429", 9),
        counter("limited_requests", 7),
    )
    assert found[STABLE] == RevisionSamples(requests=6)


def test_who_left_without_an_answer_counts_only_if_it_had_waited_for_long() -> None:
    found = read(
        counter("requests.code.200", 4),
        counter("requests.code.0", 30),
        counter("abandoned_requests", 3),
        counter("failed_requests", 3),
    )
    assert found[STABLE] == RevisionSamples(requests=7, failed=3)


def test_what_was_counted_is_told_whether_it_is_served_or_not() -> None:
    found = read(
        counter("requests.code.500", 7, cluster=f"chat-{FORMER}"),
        counter("failed_requests", 7, cluster=f"chat-{FORMER}"),
        histogram("duration", f"chat-{FORMER}", (100.0, 10.0, 5)),
    )
    assert set(found) == {STABLE, CANARY, FORMER}
    former = found[FORMER]
    assert (former.requests, former.failed, former.duration.count) == (7, 7, 5)


def test_an_endpoint_whose_name_begins_alike_is_another_one() -> None:
    for cluster in (f"chat-x-{FORMER}", f"chat-{FORMER}-{FORMER}", f"my-chat-{FORMER}"):
        assert set(read(counter("requests.code.200", 1, cluster=cluster))) == {STABLE, CANARY}
    longer = counter("requests.code.200", 1, cluster=f"chat-{FORMER}-{FORMER}")
    assert read(longer, endpoint=f"chat-{FORMER}")[FORMER].requests == 1


COUNTS = st.integers(0, 1 << 40)
SUMS = st.floats(-1e12, 1e12)
SPREADS = st.builds(Spread, count=COUNTS, logs=SUMS, squares=SUMS)
SAMPLES = st.builds(
    RevisionSamples,
    requests=COUNTS,
    failed=COUNTS,
    duration=SPREADS,
    time_to_first_token=SPREADS,
    generated_tokens=COUNTS,
    generation_milliseconds=COUNTS,
    token_time=SPREADS,
)


@given(SAMPLES)
def test_samples_are_the_same_after_a_way_as_numbers(samples: RevisionSamples) -> None:
    assert from_flat(flat(samples)) == samples


@pytest.mark.parametrize(
    "numbers",
    [
        {"requests": 1.5},
        {"requests": float("nan")},
        {"duration": 3.0},
        {"failed.x": 1, "failed": 2},
    ],
)
def test_other_numbers_are_no_samples(numbers: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        from_flat(numbers)


def test_every_number_is_a_series_that_names_the_start() -> None:
    collector = SampleCollector()
    revisions = {STABLE: RevisionSamples(requests=7, duration=Spread(count=6, logs=2.5))}
    start = "2026-03-01T11:00:00Z"
    found = EndpointSamples(uptime_seconds=9, start=start, revisions=revisions)
    collector.samples = {"chat": found}
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    labels = f'endpoint="chat",revision="chat-{STABLE}",sample="{{}}",start="{start}"'
    assert f"{SERIES}{{{labels.format('requests')}}} 7.0" in lines
    assert f"{SERIES}{{{labels.format('duration.logs')}}} 2.5" in lines
    assert f"{SERIES}{{{labels.format('uptime')}}} 9.0" in lines
    assert len([line for line in lines if line[0] != "#"]) == 1 + len(flat(RevisionSamples()))


def test_an_endpoint_is_told_on_for_an_hour_after_it_has_one_revision_again() -> None:
    compared, two, one = Compared(), (STABLE, CANARY), (STABLE,)
    assert compared.among({"chat": one}, 0) == {}
    assert compared.among({"chat": two, "code": one}, 10) == {"chat": two}
    assert compared.among({"chat": one, "code": one}, 10 + TOLD_SECONDS) == {"chat": one}
    assert compared.among({"chat": one}, 11 + TOLD_SECONDS) == {}
    compared.among({"chat": two}, 0)
    assert compared.among({"code": one}, 1) == {}

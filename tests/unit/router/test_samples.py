from __future__ import annotations

from typing import Any

from puna_router.control.samples import parse
from puna_router.samples import RevisionSamples

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

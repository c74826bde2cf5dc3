from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_router.config import Strategy as RouterStrategy
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
    PickerShadow,
    Strategy,
)
from puna_router.picker.members import DocumentError

NAMES = st.text(min_size=1, max_size=8)
KEYS = st.builds(
    PickerKey,
    max_concurrency=st.none() | st.integers(1, 99),
    exhausted_until=st.none() | st.floats(0, 1e10),
)
HOSTS = st.builds(
    PickerHost,
    address=NAMES,
    slots=st.integers(1, 99),
    clusters=st.lists(NAMES, max_size=3).map(tuple),
    healthy=st.booleans(),
    priority=st.integers(0, 3),
)
ENDPOINTS = st.builds(
    PickerEndpoint,
    clusters=st.lists(NAMES, max_size=3).map(tuple),
    hosts=st.lists(HOSTS, max_size=3).map(tuple),
    strategy=st.sampled_from(Strategy),
    queue=st.builds(PickerQueue, st.integers(0, 99), st.floats(0, 600)),
    expected=st.integers(0, 9),
    keys=st.dictionaries(NAMES, KEYS, max_size=3),
    shadow=st.none()
    | st.builds(PickerShadow, NAMES, st.lists(NAMES, max_size=2).map(tuple), st.integers(0, 1)),
)
CONFIGS = st.integers(1, 9).flatmap(
    lambda share: st.builds(
        PickerConfig,
        endpoints=st.dictionaries(NAMES, ENDPOINTS, max_size=3),
        share=st.just(share),
        share_index=st.integers(0, share - 1),
    )
)
DOCUMENT = """
{"share": 2,
 "shareIndex": 1,
 "endpoints": {"chat": {
    "strategy": "PrefixAffinity", "queue": {"maxDepth": 32, "timeoutSeconds": 60}, "expected": 2,
    "keys": {"alice": {"maxConcurrency": 4, "exhaustedUntil": null}},
    "clusters": ["chat-aaaabbbb", "chat-ccccdddd"],
    "hosts": [{"address": "127.77.0.3:20123", "slots": 4, "healthy": true, "priority": 0,
               "clusters": ["chat-aaaabbbb"]}]}}}
"""


@given(CONFIGS)
def test_a_document_is_read_as_it_was_written(config: PickerConfig) -> None:
    assert config == PickerConfig.from_json(config.to_json())


def test_a_document_is_read_by_value() -> None:
    expected = PickerConfig(
        endpoints={
            "chat": PickerEndpoint(
                clusters=("chat-aaaabbbb", "chat-ccccdddd"),
                hosts=(PickerHost("127.77.0.3:20123", 4, ("chat-aaaabbbb",)),),
                expected=2,
                keys={"alice": PickerKey(max_concurrency=4)},
            )
        },
        share=2,
        share_index=1,
    )
    assert expected == PickerConfig.from_json(DOCUMENT)


def changed(path: str, value: Any) -> str:
    document = json.loads(DOCUMENT)
    *folders, name = path.replace("hosts[0]", "hosts.0").split(".")
    place = document
    for folder in folders:
        place = place[int(folder)] if isinstance(place, list) else place[folder]
    place[name] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("share", 0, "an integer of at least 1 is needed"),
        ("shareIndex", 2, "has to be below share, which is 2"),
        ("shareIndex", True, "an integer of at least 0 is needed"),
        ("endpoints", [], "an object is needed"),
        ("endpoints.chat.strategy", "Best", "one of PrefixAffinity, LeastBusy, RoundRobin is"),
        ("endpoints.chat.queue", 3, "an object is needed"),
        ("endpoints.chat.queue.maxDepth", 1.5, "an integer of at least 0 is needed"),
        ("endpoints.chat.queue.timeoutSeconds", -1, "a number of at least 0 is needed"),
        ("endpoints.chat.queue.timeoutSeconds", 700, "may be 605 at most"),
        ("endpoints.chat.expected", None, "an integer of at least 0 is needed"),
        ("endpoints.chat.keys.alice.maxConcurrency", 0, "an integer of at least 1 is needed"),
        ("endpoints.chat.keys.alice.exhaustedUntil", "x", "a number of at least 0 is needed"),
        ("endpoints.chat.keys.alice.more", 1, "there is no such member"),
        ("endpoints.chat.clusters", ["a", 1], "an array of texts is needed"),
        ("endpoints.chat.hosts", {}, "an array is needed"),
        ("endpoints.chat.hosts[0].address", "", "a text is needed"),
        ("endpoints.chat.hosts[0].slots", "4", "an integer of at least 1 is needed"),
        ("endpoints.chat.hosts[0].healthy", 1, "true or false is needed"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(path: str, value: Any, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        PickerConfig.from_json(changed(path, value))
    assert str(caught.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "the document: an object is needed"),
        ("{}", "endpoints: is missing"),
        ('{"endpoints": {}, "share": 1}', "shareIndex: is missing"),
    ],
)
def test_what_is_no_document_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        PickerConfig.from_json(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_document_is_more_than_refused(value: Any) -> None:
    for document in (value, {"endpoints": value}, {"endpoints": {"chat": value}, "share": 1}):
        with pytest.raises(DocumentError):
            PickerConfig.from_json(json.dumps(document))


def test_strategies_are_those_of_the_router() -> None:
    assert [*RouterStrategy] == [*Strategy]

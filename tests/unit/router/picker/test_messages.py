"""Messages by hand against what protobuf's own code makes of Envoy's definitions."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker import messages, refusals
from puna_router.picker.choose import Prompt
from puna_router.picker.endpoint import Request
from puna_router.picker.messages import Other
from puna_router.picker.protobuf import MalformedError
from puna_router.picker.scheduler import Hold, Pick
from tests.ext_proc import headers_of, kind, request, slot_request


def parsed(answer: bytes) -> ext_proc.ProcessingResponse:
    return ext_proc.ProcessingResponse.FromString(answer)


def test_a_request_is_read_with_what_the_router_noted_about_it() -> None:
    message = slot_request(
        puna_client="alice",
        puna_prefix="00ff:1200,a1b2:4000",
        puna_affinity="77aa",
        request_id="one",
        **{"user-agent": "x" * 300, "accept": "*/*"},
    )
    expected = Request(
        cluster="chat-a",
        target="chat",
        key="alice",
        takes_slot=True,
        prompt=Prompt(((b"00ff", 1200), (b"a1b2", 4000)), b"77aa"),
        id="one",
    )
    assert expected == messages.read(message)


def test_a_request_without_notes_takes_no_slot() -> None:
    expected = Request(cluster="chat-a", takes_slot=False)
    assert expected == messages.read(request())
    assert messages.read(request("")) == Request(takes_slot=False)


def test_the_first_prefix_decides_the_owner_where_nothing_else_does() -> None:
    read = messages.read(slot_request(puna_prefix="00ff:1200"))
    assert isinstance(read, Request)
    assert read.prompt == Prompt(((b"00ff", 1200),), b"00ff")


@pytest.mark.parametrize("prefixes", ["x", "x:", "a:1,b", "a:1:2", ":", ",", "a:ten"])
def test_prefixes_that_are_none_count_as_none(prefixes: str) -> None:
    read = messages.read(slot_request(puna_prefix=prefixes))
    assert isinstance(read, Request)
    assert read.prompt == Prompt()


def test_no_more_prefixes_are_looked_at_than_the_limit() -> None:
    read = messages.read(slot_request(puna_prefix=",".join(f"{at:08x}:{at}" for at in range(99))))
    assert isinstance(read, Request)
    assert len(read.prompt.chain) == messages.LONGEST_CHAIN


def test_values_that_envoy_is_told_to_send_as_text_are_read_too() -> None:
    message = ext_proc.ProcessingRequest()
    header = message.request_headers.headers.headers.add()
    header.key, header.value = "x-puna-client", "bob"
    read = messages.read(message.SerializeToString())
    assert isinstance(read, Request)
    assert read.key == "bob"


@given(
    st.dictionaries(st.sampled_from(["accept", "x-puna-client", "x-long"]), st.text(max_size=300)),
    st.text(max_size=200),
)
def test_a_request_is_read_whatever_its_headers_hold(headers: dict[str, str], cluster: str) -> None:
    message = ext_proc.ProcessingRequest()
    for name, value in headers.items():
        header = message.request_headers.headers.headers.add()
        header.key, header.raw_value = name, value.encode()
    message.request_headers.end_of_stream = True
    message.attributes["envoy.filters.http.ext_proc"]["xds.cluster_name"] = cluster
    message.attributes["other"]["xds.cluster_name"] = "wrong"
    read = messages.read(message.SerializeToString())
    expected = Request(
        cluster=cluster, key=headers.get("x-puna-client", ""), takes_slot=False, prompt=Prompt()
    )
    assert read == expected


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("request_body", "request_body"),
        ("request_trailers", "request_trailers"),
        ("response_headers", "response_headers"),
        ("response_body", "response_body"),
        ("response_trailers", "response_trailers"),
    ],
)
def test_whatever_envoy_waits_for_is_answered(asked: str, answered: str) -> None:
    message = ext_proc.ProcessingRequest()
    getattr(message, asked).SetInParent()
    read = messages.read(message.SerializeToString())
    assert isinstance(read, Other)
    assert parsed(read.answer).WhichOneof("response") == answered


@given(st.binary(max_size=60))
def test_bytes_are_read_or_malformed(data: bytes) -> None:
    with suppress(MalformedError):
        messages.read(data)


@given(st.data())
def test_a_message_with_changed_bytes_is_read_or_malformed(data: st.DataObject) -> None:
    message = bytearray(slot_request(puna_client="alice", puna_prefix="00ff:1,aa:2"))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MalformedError):
        messages.read(bytes(message[: data.draw(st.integers(0, len(message)))]))


def test_a_pick_pins_the_server_for_the_stateful_session() -> None:
    answer = parsed(messages.answered(Pick("127.0.0.1:8080"), ""))
    assert kind(answer) == "pick 127.0.0.1:8080"
    (option,) = answer.request_headers.response.header_mutation.set_headers
    assert option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD
    assert not answer.request_headers.response.clear_route_cache


def test_a_pick_in_another_cluster_has_the_route_chosen_anew() -> None:
    answer = parsed(messages.answered(Pick("[::1]:8080", "chat-b"), ""))
    assert kind(answer) == "pick [::1]:8080"
    assert headers_of(answer)["x-puna-cluster"] == "chat-b"
    assert answer.request_headers.response.clear_route_cache


@pytest.mark.parametrize(("seconds", "nanos"), [(65, 0), (0, 250_000_000), (1, 1_000_000)])
def test_a_hold_says_nothing_but_how_long(seconds: int, nanos: int) -> None:
    answer = parsed(messages.answered(Hold(seconds + nanos / 1e9), ""))
    assert answer.WhichOneof("response") is None
    timeout = answer.override_message_timeout
    assert (timeout.seconds, timeout.nanos) == (seconds, nanos)


def test_a_refusal_is_an_error_document() -> None:
    answer = parsed(messages.answered(refusals.queue_full(32), 'id "1"\n\u00e9'))
    refusal = answer.immediate_response
    assert refusal.status.code == 429
    headers = {
        option.header.key: (option.header.raw_value, option.append_action)
        for option in refusal.headers.set_headers
    }
    assert headers == {"content-type": (b"application/json", 2), "retry-after": (b"2", 2)}
    assert refusal.details == "puna_queue_full"
    assert json.loads(refusal.body) == {
        "type": "error",
        "error": {
            "code": 429,
            "type": "overloaded_error",
            "reason": "queue_full",
            "message": "every slot is busy and 32 requests wait already",
            "request_id": 'id "1"??',
        },
    }
    assert dict(answer.dynamic_metadata["puna"]) == {"answered": True, "reason": "queue_full"}


def test_a_copy_says_that_it_takes_a_slot_only_if_one_is_free() -> None:
    copy = messages.read(request(puna_slots="if-free", puna_target="shadow/chat"))
    expected = Request(cluster="chat-a", target="shadow/chat", takes_slot=True, is_copy=True)
    assert copy == expected


def test_what_needs_no_decision_goes_on_unchanged() -> None:
    answer = parsed(messages.going_on())
    assert kind(answer) == "go on"
    assert answer.WhichOneof("response") == "request_headers"
    assert headers_of(answer) == {}

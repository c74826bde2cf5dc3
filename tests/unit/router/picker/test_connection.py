"""One HTTP/2 connection, byte by byte where it matters."""

from __future__ import annotations

import pytest

from puna_router.picker import connection, frames
from puna_router.picker.connection import Connection, Ended, Event, Gone, Message
from tests.ext_proc import BLOCK, HELLO, Heard, begin, end, grpc

DATA, HEADERS = frames.DATA, frames.HEADERS
END_HEADERS, END_STREAM = frames.END_HEADERS, frames.END_STREAM


def connected(data: bytes = b"", hello: bytes = HELLO) -> tuple[Connection, list[Event]]:
    server = Connection()
    events = server.receive(hello + data)
    return server, events


def heard(server: Connection) -> Heard:
    found = Heard()
    found.hear(server.take())
    return found


def said(server: Connection) -> list[tuple[int, int, int, bytes]]:
    """Frames without the greeting: settings, window, acknowledgement."""
    return heard(server).frames[3:]


def error_of(data: bytes, hello: bytes = HELLO) -> tuple[int | None, bool]:
    server, _ = connected(data, hello)
    return heard(server).goaway, server.closed


def test_the_greeting_opens_both_windows_and_acknowledges_settings() -> None:
    server, events = connected()
    settings, window, acknowledgement = heard(server).frames
    assert events == []
    assert settings[:3] == (frames.SETTINGS, 0, 0)
    assert dict(frames.SETTING.iter_unpack(settings[3])) == {
        frames.HEADER_TABLE_SIZE: 0,
        frames.ENABLE_PUSH: 0,
        frames.MAX_CONCURRENT_STREAMS: 65_536,
        frames.INITIAL_WINDOW_SIZE: 2**31 - 1,
    }
    assert window == (frames.WINDOW_UPDATE, 0, 0, (2**31 - 1 - 65_535).to_bytes(4, "big"))
    assert acknowledgement == (frames.SETTINGS, frames.ACK, 0, b"")


def test_a_call_is_messages_answers_and_an_end() -> None:
    server, events = connected(begin(1, b"ask") + end(1))
    assert events == [Message(1, b"ask"), Ended(1)]
    server.send(1, b"answer")
    server.send(1, b"more")
    server.finish(1)
    assert said(server) == [
        (HEADERS, END_HEADERS, 1, b"\x20\x88\x0f\x10\x10application/grpc"),
        (DATA, 0, 1, grpc(b"answer")),
        (DATA, 0, 1, grpc(b"more")),
        (HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x0bgrpc-status\x010"),
    ]
    assert len(server) == 0


def test_a_call_that_ends_without_an_answer_has_only_trailers() -> None:
    server, _ = connected(begin(1, b"ask") + end(1))
    server.finish(1, connection.INVALID_ARGUMENT)
    block = b"\x20\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x013"
    assert said(server) == [(HEADERS, END_HEADERS | END_STREAM, 1, block)]


def test_a_call_that_we_end_first_is_reset_without_error() -> None:
    server, _ = connected(begin(1, b"ask"))
    server.finish(1)
    assert heard(server).reset == {1: frames.NO_ERROR}
    assert server.receive(frames.frame(DATA, 0, 1, grpc(b"late")) + end(1)) == []
    assert not server.closed


def test_what_is_sent_in_a_call_that_is_over_is_dropped() -> None:
    server, _ = connected(begin(1, b"ask") + frames.reset(1, 8))
    server.take()
    server.send(1, b"answer")
    server.finish(1)
    assert server.take() == b""


def test_messages_may_be_split_and_joined_in_any_frame() -> None:
    data = grpc(b"first") + grpc(b"") + grpc(b"third")
    parts = b"".join(frames.frame(DATA, 0, 1, data[at : at + 4]) for at in range(0, len(data), 4))
    _, events = connected(begin(1) + parts)
    assert events == [Message(1, b"first"), Message(1, b""), Message(1, b"third")]


def test_padding_priority_and_continuation_are_understood() -> None:
    flags = frames.PADDED | frames.WITH_PRIORITY
    headers = frames.frame(HEADERS, flags, 1, b"\x02" + b"\0" * 5 + BLOCK + b"\0\0")
    more = frames.frame(frames.CONTINUATION, 0, 1, BLOCK)
    last = frames.frame(frames.CONTINUATION, END_HEADERS, 1, BLOCK)
    data = frames.frame(DATA, frames.PADDED | END_STREAM, 1, b"\x03" + grpc(b"ask") + b"\0\0\0")
    _, events = connected(headers + more + last + data)
    assert events == [Message(1, b"ask"), Ended(1)]


def test_the_end_may_come_with_headers_or_as_trailers() -> None:
    flags = END_HEADERS | END_STREAM
    _, events = connected(frames.frame(HEADERS, flags, 1, BLOCK))
    assert events == [Ended(1)]
    _, events = connected(begin(1, b"ask") + frames.frame(HEADERS, flags, 1, BLOCK))
    assert events == [Message(1, b"ask"), Ended(1)]


def test_a_reset_is_told_once() -> None:
    server, events = connected(begin(1, b"ask") + frames.reset(1, 8) + frames.reset(1, 8))
    assert events == [Message(1, b"ask"), Gone(1)]
    assert len(server) == 0


def test_a_ping_is_answered_and_an_answer_to_none_is_not() -> None:
    server, _ = connected(
        frames.frame(frames.PING, 0, 0, b"12345678")
        + frames.frame(frames.PING, frames.ACK, 0, b"87654321")
    )
    assert said(server) == [(frames.PING, frames.ACK, 0, b"12345678")]


def test_unknown_frames_and_settings_are_passed_over() -> None:
    server, events = connected(
        frames.frame(99, 7, 3, b"x") + frames.settings({99: 1}) + begin(1, b"ask")
    )
    assert events == [Message(1, b"ask")]
    assert not server.closed


def test_answers_wait_for_the_calls_window() -> None:
    server, _ = connected(begin(1, b"ask"), frames.PREFACE + frames.settings({4: 8}))
    server.send(1, b"0123456789")
    server.finish(1)
    assert [entry[3] for entry in said(server)[1:]] == [grpc(b"0123456789")[:8]]
    server.receive(frames.window_update(1, 5))
    assert [entry[3] for entry in heard(server).frames] == [grpc(b"0123456789")[8:13]]
    server.receive(frames.settings({4: 100}))
    found = heard(server)
    assert [entry[3] for entry in found.frames if entry[0] == DATA] == [b"89"]
    assert list(found.ended) == [1]


def test_answers_wait_for_the_connections_window() -> None:
    server, _ = connected(begin(1, b"ask") + begin(3, b"ask"), HELLO)
    server.send(1, b"x" * 65_000)
    server.send(3, b"y" * 1_000)
    sent = [entry for entry in heard(server).frames if entry[0] == DATA and entry[2] == 3]
    assert [len(entry[3]) for entry in sent] == [65_535 - 65_005]
    assert server.receive(frames.window_update(0, 600)) == []
    sent = [entry for entry in heard(server).frames if entry[0] == DATA]
    assert [(entry[2], len(entry[3])) for entry in sent] == [(3, 1_005 - 530)]


def test_a_window_may_shrink_below_nothing() -> None:
    server, _ = connected(begin(1, b"ask"))
    server.send(1, b"x" * 100)
    server.receive(frames.settings({4: 50}))
    server.take()
    server.send(1, b"y" * 10)
    assert server.take() == b""
    server.receive(frames.window_update(1, 60))
    assert [len(entry[3]) for entry in heard(server).frames] == [5]


def test_the_peer_is_told_that_it_may_send_more() -> None:
    server, _ = connected(begin(1))
    server.take()
    server._received = connection.WINDOW_STEP - 1
    server.receive(frames.frame(DATA, 0, 1, b""))
    assert not server.has_output
    server.receive(frames.frame(DATA, 0, 1, b"\0"))
    assert server.take() == frames.window_update(0, connection.WINDOW_STEP)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (frames.frame(DATA, 0, 1, b"\1\0\0\0\0"), b"12"),
        (frames.frame(DATA, 0, 1, b"\0\xff\0\0\0"), b"8"),
        (frames.frame(DATA, END_STREAM, 1, b"\0\0\0\0\5abc"), b"13"),
    ],
)
def test_a_message_that_is_not_taken_ends_its_call_alone(data: bytes, status: bytes) -> None:
    server, events = connected(begin(1) + data + begin(3, b"ask"))
    assert events == [Gone(1), Message(3, b"ask")]
    assert heard(server).ended[1].endswith(status)
    assert not server.closed


def test_a_call_takes_no_more_than_its_limit() -> None:
    full = frames.frame(DATA, 0, 1, grpc(b"x" * 16_000))
    count = connection.CALL_LIMIT // 16_005
    _, events = connected(begin(1) + full * (count + 2))
    assert events == [*[Message(1, b"x" * 16_000)] * count, Gone(1)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (begin(1, b"ask") + end(1) + end(1), frames.STREAM_CLOSED),
        (begin(1, b"ask") + begin(1), frames.PROTOCOL_ERROR),
        (begin(1) + frames.window_update(1, 0), frames.PROTOCOL_ERROR),
        (begin(1) + frames.window_update(1, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
    ],
)
def test_a_broken_call_is_reset_alone(data: bytes, code: int) -> None:
    server, events = connected(data)
    assert heard(server).reset == {1: code}
    assert events[-1] == Gone(1)
    assert not server.closed


def test_more_calls_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STREAM_LIMIT", 1)
    server, events = connected(begin(1, b"ask") + begin(3, b"ask"))
    assert events == [Message(1, b"ask")]
    assert heard(server).reset == {3: frames.REFUSED_STREAM}


def test_after_the_announced_end_calls_go_on_and_none_begins() -> None:
    server, _ = connected(begin(1, b"ask"))
    server.end()
    assert heard(server).goaway == frames.NO_ERROR
    assert server.receive(begin(3, b"late") + end(3)) == []
    server.send(1, b"answer")
    assert server.has_output
    assert not server.closed


BROKEN = {
    "no HTTP/2": (b"GET / HTTP/1.1\r\n", b"", frames.PROTOCOL_ERROR),
    "no settings first": (frames.PREFACE, begin(1), frames.PROTOCOL_ERROR),
    "an acknowledgement first": (
        frames.PREFACE,
        frames.frame(frames.SETTINGS, frames.ACK, 0),
        frames.PROTOCOL_ERROR,
    ),
    "a large frame": (HELLO, b"\xff\xff\xff\0\0\0\0\0\1", frames.FRAME_SIZE_ERROR),
    "settings of a stream": (HELLO, frames.frame(4, 0, 1), frames.PROTOCOL_ERROR),
    "settings of five bytes": (HELLO, frames.frame(4, 0, 0, b"12345"), frames.FRAME_SIZE_ERROR),
    "a filled acknowledgement": (HELLO, frames.frame(4, 1, 0, b"123456"), frames.FRAME_SIZE_ERROR),
    "a push": (HELLO, frames.settings({2: 2}), frames.PROTOCOL_ERROR),
    "a window of 2 GiB": (HELLO, frames.settings({4: 1 << 31}), frames.FLOW_CONTROL_ERROR),
    "small frames": (HELLO, frames.settings({5: 100}), frames.PROTOCOL_ERROR),
    "a stream of ours": (HELLO, begin(2), frames.PROTOCOL_ERROR),
    "data of no call": (HELLO, end(1), frames.PROTOCOL_ERROR),
    "a reset of no call": (HELLO, frames.reset(1, 0), frames.PROTOCOL_ERROR),
    "a short reset": (HELLO, begin(1) + frames.frame(3, 0, 1, b"123"), frames.FRAME_SIZE_ERROR),
    "a window of no call": (HELLO, frames.window_update(1, 1), frames.PROTOCOL_ERROR),
    "a window that stays": (HELLO, frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "a window too large": (HELLO, frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
    "a short ping": (HELLO, frames.frame(6, 0, 0, b"123"), frames.FRAME_SIZE_ERROR),
    "a ping in a call": (HELLO, frames.frame(6, 0, 1, b"12345678"), frames.PROTOCOL_ERROR),
    "a promise": (HELLO, frames.frame(5, 0, 1, b"1234"), frames.PROTOCOL_ERROR),
    "a short priority": (HELLO, frames.frame(2, 0, 1, b"1234"), frames.FRAME_SIZE_ERROR),
    "too much padding": (HELLO, begin(1) + frames.frame(0, 8, 1, b"\5abc"), frames.PROTOCOL_ERROR),
    "padding of nothing": (HELLO, frames.frame(1, 12, 1), frames.PROTOCOL_ERROR),
    "headers without priority": (HELLO, frames.frame(1, 0x24, 1, b"1"), frames.FRAME_SIZE_ERROR),
    "a lone continuation": (HELLO, frames.frame(9, 4, 1), frames.PROTOCOL_ERROR),
    "another's continuation": (
        HELLO,
        frames.frame(1, 0, 1) + frames.frame(9, 4, 3),
        frames.PROTOCOL_ERROR,
    ),
    "an interrupted block": (HELLO, frames.frame(1, 0, 1) + end(1), frames.PROTOCOL_ERROR),
    "an endless block": (
        HELLO,
        frames.frame(1, 0, 1) + frames.frame(9, 0, 1, b"x" * 16_000) * 5,
        frames.ENHANCE_YOUR_CALM,
    ),
    "a parting in a call": (HELLO, frames.frame(7, 0, 1, b"12345678"), frames.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_connection_ends_with_its_reason(what: str) -> None:
    hello, data, code = BROKEN[what]
    assert error_of(data, hello) == (code, True)


def test_nothing_is_taken_after_the_end_of_a_connection() -> None:
    server, _ = connected(begin(2))
    server.take()
    assert server.receive(begin(1, b"ask")) == []
    assert server.take() == b""

"""A gRPC server's side of one HTTP/2 connection: bytes in, events and bytes out, no socket.

Every stream is a call of one method that takes and gives streams of messages, so the headers of
requests are not read: their blocks are only counted. Ours are constant and use no dynamic table.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from puna_router.picker import frames
from puna_router.picker.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_LIMIT,
    HEAD,
    HEAD_SIZE,
    HEADERS,
    PADDED,
    STREAM_MASK,
    BrokenConnectionError,
)

STREAM_LIMIT: Final = 65_536
"""Calls at once on one connection."""
MESSAGE_LIMIT: Final = 256 * 1024
"""Largest message that is taken, in bytes: four times what Envoy takes as headers."""
CALL_LIMIT: Final = 4 * MESSAGE_LIMIT
"""Bytes that are taken in one call; it is never told that it may send more."""
HEADER_LIMIT: Final = 64 * 1024
"""Largest block of headers, in bytes."""
WINDOW_STEP: Final = 1 << 30
"""Bytes received after which the peer is told that it may send more."""

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
"""Status codes of gRPC."""

_PREFIX: Final = Struct(">BI")
"""Of a gRPC message: compressed or not, and its length."""
_PREFIX_SIZE: Final = _PREFIX.size
_HELLO: Final = frames.settings(
    {
        frames.HEADER_TABLE_SIZE: 0,
        frames.ENABLE_PUSH: 0,
        frames.MAX_CONCURRENT_STREAMS: STREAM_LIMIT,
        frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW,
    }
) + frames.window_update(0, frames.LARGEST_WINDOW - frames.FIRST_WINDOW)
_SETTINGS_ACK: Final = frames.frame(frames.SETTINGS, frames.ACK, 0)

# Blocks of headers (RFC 7541). The first one on a connection gives up the dynamic table, which is
# what a peer may ask for and never has to be said again.
_NO_TABLE: Final = b"\x20"
_STATUS_200: Final = b"\x88"
_CONTENT_TYPE: Final = b"\x0f\x10\x10application/grpc"
_ANSWER_BLOCK: Final = _STATUS_200 + _CONTENT_TYPE
_END_BLOCKS: Final[dict[int | None, bytes]] = {
    status: b"\x00\x0bgrpc-status" + bytes([len(str(status))]) + str(status).encode()
    for status in (OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL)
}


class Message(NamedTuple):
    """A whole message of a call."""

    stream: int
    content: bytes


class Ended(NamedTuple):
    """The peer sends no more in a call, and waits for its end."""

    stream: int


class Gone(NamedTuple):
    """A call that is over, by the peer's doing or because of what it sent."""

    stream: int


Event: TypeAlias = Message | Ended | Gone


class _Call:
    """One call. Most of it stays as it is here, so that a call costs little to begin."""

    received = 0
    buffer = b""
    """The beginning of a message."""
    answered = False
    """Our headers are sent."""
    ended = False
    """The peer sends no more."""
    pending = b""
    """What waits for the peer's window."""
    status: int | None = None
    """The call's end, which comes behind what is pending."""

    def __init__(self, window: int) -> None:
        self.window = window
        """Bytes that the peer takes."""


class Connection:
    """One connection. What `take` gives has to be sent, in order."""

    def __init__(self) -> None:
        self.closed = False
        """The peer broke the protocol, or the end was announced: the last bytes say why."""
        self._output: list[bytes] = [_HELLO]
        self._input = b""
        self._begun = False
        self._settled = False
        self._calls: dict[int, _Call] = {}
        self._blocked: dict[int, None] = {}
        self._last_stream = 0
        self._window = frames.FIRST_WINDOW
        self._call_window = frames.FIRST_WINDOW
        self._received = 0
        self._block: tuple[int, int, int] | None = None
        self._ending = False
        self._table = _NO_TABLE

    def __len__(self) -> int:
        """Calls that are under way."""
        return len(self._calls)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the peer, split anywhere."""
        events: list[Event] = []
        if self.closed:
            return events
        try:
            self._input = self._read(self._input + data if self._input else data, events)
        except BrokenConnectionError as error:
            self.closed = True
            self._output.append(frames.goaway(self._last_stream, error.code, str(error)))
        return events

    def send(self, stream: int, message: bytes) -> None:
        """Send a message in a call; nothing happens if the call is over."""
        call = self._calls.get(stream)
        if call is None or call.status is not None:
            return
        if not call.answered:
            self._send_headers(stream, call)
        size = len(message) + _PREFIX_SIZE
        if call.pending or size > call.window or size > self._window or size > FRAME_LIMIT:
            call.pending += _PREFIX.pack(0, len(message)) + message
            self._blocked[stream] = None
            self._flush(stream, call)
            return
        call.window -= size
        self._window -= size
        head = HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream)
        self._output.append(head + _PREFIX.pack(0, len(message)) + message)

    def finish(self, stream: int, status: int = OK) -> None:
        """End a call, behind all that was sent; nothing happens if it is over."""
        call = self._calls.get(stream)
        if call is None or call.status is not None:
            return
        call.status = status
        if not call.pending:
            self._send_end(stream, call)

    def end(self) -> None:
        """Announce that no further call is taken; those under way go on."""
        self._ending = True
        self._output.append(frames.goaway(self._last_stream, frames.NO_ERROR))

    def take(self) -> bytes:
        """Bytes for the peer."""
        output, self._output = self._output, []
        return b"".join(output)

    @property
    def has_output(self) -> bool:
        """Whether `take` gives something."""
        return bool(self._output)

    def _read(self, data: bytes, events: list[Event]) -> bytes:
        """Read whole frames, and return the rest."""
        offset, end = 0, len(data)
        if not self._begun:
            beginning = data[: len(frames.PREFACE)]
            if not frames.PREFACE.startswith(beginning):
                raise BrokenConnectionError(frames.PROTOCOL_ERROR, "no HTTP/2")
            if len(beginning) < len(frames.PREFACE):
                return data
            self._begun = True
            offset = len(frames.PREFACE)
        while end - offset >= HEAD_SIZE:
            high, low, kind, flags, stream = HEAD.unpack_from(data, offset)
            size = high << 8 | low
            if size > FRAME_LIMIT:
                raise BrokenConnectionError(frames.FRAME_SIZE_ERROR, "a frame is too large")
            start = offset + HEAD_SIZE
            if start + size > end:
                break
            offset = start + size
            self._frame(kind, flags, stream & STREAM_MASK, data[start:offset], events)
        return data[offset:]

    def _frame(
        self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]
    ) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "a block of headers does not end")
        if not self._settled and kind != frames.SETTINGS:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "settings have to come first")
        if kind == DATA:
            self._data(flags, stream, payload, events)
        elif kind == HEADERS:
            self._headers(flags, stream, payload, events)
        elif kind == frames.RST_STREAM:
            self._reset(stream, payload, events)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(stream, payload, events)
        elif kind == frames.SETTINGS:
            self._settings(flags, stream, payload)
        elif kind == frames.PING:
            self._ping(flags, stream, payload)
        elif kind == frames.CONTINUATION:
            self._continuation(flags, stream, payload, events)
        elif kind == frames.GOAWAY:
            _whole_connection(stream, "GOAWAY")
        elif kind == frames.PRIORITY:
            _has_size(payload, 5, "PRIORITY")
        elif kind == frames.PUSH_PROMISE:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "a client promises nothing")

    def _data(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        size = len(payload)
        self._received += size
        if self._received >= WINDOW_STEP:
            self._output.append(frames.window_update(0, self._received))
            self._received = 0
        if flags & PADDED:
            payload = frames.unpadded(payload)
        call = self._call(stream, "DATA")
        if call is None:
            return
        if call.ended:
            self._break_off(stream, frames.STREAM_CLOSED, events)
            return
        call.received += size
        if payload and not self._messages(stream, call, payload, events):
            return
        if flags & END_STREAM:
            self._peer_ended(stream, call, events)

    def _messages(self, stream: int, call: _Call, payload: bytes, events: list[Event]) -> bool:
        """Read whole messages; False if the call is over because of them."""
        if call.received > CALL_LIMIT:
            return self._give_up(stream, RESOURCE_EXHAUSTED, events)
        data = call.buffer + payload if call.buffer else payload
        offset, end = 0, len(data)
        while end - offset >= _PREFIX_SIZE:
            compressed, size = _PREFIX.unpack_from(data, offset)
            if compressed:
                return self._give_up(stream, UNIMPLEMENTED, events)
            if size > MESSAGE_LIMIT:
                return self._give_up(stream, RESOURCE_EXHAUSTED, events)
            start = offset + _PREFIX_SIZE
            if start + size > end:
                break
            offset = start + size
            events.append(Message(stream, data[start:offset]))
        call.buffer = data[offset:]
        return True

    def _headers(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        _one_stream(stream, "HEADERS")
        if flags & PADDED:
            payload = frames.unpadded(payload)
        if flags & frames.WITH_PRIORITY and len(payload) < 5:  # noqa: PLR2004 - its size
            raise BrokenConnectionError(frames.FRAME_SIZE_ERROR, "HEADERS have no priority")
        if flags & END_HEADERS:
            self._open(flags, stream, events)
        else:
            self._block = (stream, flags, len(payload))

    def _continuation(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if self._block is None or self._block[0] != stream:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first_flags, size = self._block
        size += len(payload)
        if size > HEADER_LIMIT:
            raise BrokenConnectionError(frames.ENHANCE_YOUR_CALM, "a block of headers is too large")
        if flags & END_HEADERS:
            self._block = None
            self._open(first_flags, stream, events)
        else:
            self._block = (stream, first_flags, size)

    def _open(self, flags: int, stream: int, events: list[Event]) -> None:
        """Headers are complete: a call begins, or ends with trailers."""
        call = self._calls.get(stream)
        if call is None:
            if stream <= self._last_stream or self._ending:
                # On its way since before the call's end, or the connection's, was known.
                return
            self._last_stream = stream
            if len(self._calls) >= STREAM_LIMIT:
                self._output.append(frames.reset(stream, frames.REFUSED_STREAM))
                return
            call = self._calls[stream] = _Call(self._call_window)
        elif call.ended:
            self._break_off(stream, frames.STREAM_CLOSED, events)
            return
        elif not flags & END_STREAM:
            self._break_off(stream, frames.PROTOCOL_ERROR, events)
            return
        if flags & END_STREAM:
            self._peer_ended(stream, call, events)

    def _peer_ended(self, stream: int, call: _Call, events: list[Event]) -> None:
        call.ended = True
        if call.buffer:
            self._give_up(stream, INTERNAL, events)
        else:
            events.append(Ended(stream))

    def _reset(self, stream: int, payload: bytes, events: list[Event]) -> None:
        _has_size(payload, 4, "RST_STREAM")
        if self._call(stream, "RST_STREAM") is not None:
            self._forget(stream)
            events.append(Gone(stream))

    def _window_update(self, stream: int, payload: bytes, events: list[Event]) -> None:
        _has_size(payload, 4, "WINDOW_UPDATE")
        increment = frames.WORD.unpack(payload)[0] & frames.STREAM_MASK
        if stream:
            call = self._call(stream, "WINDOW_UPDATE")
            if call is None:
                return
            call.window += increment
            if not increment:
                self._break_off(stream, frames.PROTOCOL_ERROR, events)
            elif call.window > frames.LARGEST_WINDOW:
                self._break_off(stream, frames.FLOW_CONTROL_ERROR, events)
            else:
                self._flush(stream, call)
            return
        self._window += increment
        if not increment:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "a window grows by nothing")
        if self._window > frames.LARGEST_WINDOW:
            raise BrokenConnectionError(frames.FLOW_CONTROL_ERROR, "the window is too large")
        self._flush_all()

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        _whole_connection(stream, "SETTINGS")
        if flags & frames.ACK:
            _has_size(payload, 0, "an acknowledgement of SETTINGS")
            if not self._settled:
                raise BrokenConnectionError(frames.PROTOCOL_ERROR, "settings have to come first")
            return
        if len(payload) % frames.SETTING.size:
            raise BrokenConnectionError(frames.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._settled = True
        for name, value in frames.SETTING.iter_unpack(payload):
            self._setting(name, value)
        self._output.append(_SETTINGS_ACK)
        self._flush_all()

    def _setting(self, name: int, value: int) -> None:
        if name == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise BrokenConnectionError(frames.FLOW_CONTROL_ERROR, "the window is too large")
            change = value - self._call_window
            self._call_window = value
            for call in self._calls.values():
                call.window += change
                if call.window > frames.LARGEST_WINDOW:
                    raise BrokenConnectionError(frames.FLOW_CONTROL_ERROR, "a window is too large")
        elif name == frames.ENABLE_PUSH and value > 1:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        elif name == frames.MAX_FRAME_SIZE and not FRAME_LIMIT <= value < 1 << 24:
            raise BrokenConnectionError(frames.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of bounds")

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        _whole_connection(stream, "PING")
        _has_size(payload, 8, "PING")
        if not flags & frames.ACK:
            self._output.append(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _call(self, stream: int, what: str) -> _Call | None:
        """A call that is under way; None if it is over.

        Raises:
            BrokenConnectionError: There is no call, or it has not begun.
        """
        call = self._calls.get(stream)
        if call is None:
            _one_stream(stream, what)
            if stream > self._last_stream and not self._ending:
                raise BrokenConnectionError(frames.PROTOCOL_ERROR, "a call has not begun")
        return call

    def _send_headers(self, stream: int, call: _Call) -> None:
        call.answered = True
        block = self._table + _ANSWER_BLOCK
        self._table = b""
        self._output.append(frames.frame(HEADERS, END_HEADERS, stream, block))

    def _send_end(self, stream: int, call: _Call) -> None:
        """Send trailers; the call is over."""
        block = self._table + (b"" if call.answered else _ANSWER_BLOCK) + _END_BLOCKS[call.status]
        self._table = b""
        flags = END_HEADERS | END_STREAM
        self._output.append(frames.frame(HEADERS, flags, stream, block))
        if not call.ended:
            self._output.append(frames.reset(stream, frames.NO_ERROR))
        self._forget(stream)

    def _flush_all(self) -> None:
        for stream in list(self._blocked):
            self._flush(stream, self._calls[stream])

    def _flush(self, stream: int, call: _Call) -> None:
        """Send of what is pending as much as the windows take."""
        while call.pending:
            size = min(len(call.pending), call.window, self._window, FRAME_LIMIT)
            if size <= 0:
                return
            call.window -= size
            self._window -= size
            self._output.append(frames.frame(DATA, 0, stream, call.pending[:size]))
            call.pending = call.pending[size:]
        self._blocked.pop(stream, None)
        if call.status is not None:
            self._send_end(stream, call)

    def _give_up(self, stream: int, status: int, events: list[Event]) -> bool:
        """End a call for what the peer sent in it. False: it is over."""
        call = self._calls[stream]
        call.pending = b""
        call.status = status
        self._send_end(stream, call)
        events.append(Gone(stream))
        return False

    def _break_off(self, stream: int, code: int, events: list[Event]) -> None:
        """Reset a call in which the peer broke the protocol."""
        self._output.append(frames.reset(stream, code))
        self._forget(stream)
        events.append(Gone(stream))

    def _forget(self, stream: int) -> None:
        del self._calls[stream]
        self._blocked.pop(stream, None)


def _one_stream(stream: int, what: str) -> None:
    if not stream % 2:
        raise BrokenConnectionError(frames.PROTOCOL_ERROR, f"{what} on stream {stream}")


def _whole_connection(stream: int, what: str) -> None:
    if stream:
        raise BrokenConnectionError(frames.PROTOCOL_ERROR, f"{what} on stream {stream}")


def _has_size(payload: bytes, size: int, what: str) -> None:
    if len(payload) != size:
        raise BrokenConnectionError(frames.FRAME_SIZE_ERROR, f"{what} of {len(payload)} bytes")

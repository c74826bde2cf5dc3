"""Envoy's side of ext_proc for tests: messages by protobuf's own code, frames by hand."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from puna_router.picker import frames

Answer = Any
"""A ProcessingResponse."""

_PATH = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"
BLOCK = (
    b"\x83\x86\x01\x06picker\x04"
    + bytes([len(_PATH)])
    + _PATH
    + b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
)
"""Headers of a call, without Huffman code and without a table."""
HELLO = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 20})


def request(cluster: str = "chat-a", **headers: str) -> bytes:
    """Request headers as Envoy sends them; a header without a dash is one of the router's own."""
    message = ext_proc.ProcessingRequest()
    for name, value in (("pseudo-path", "/v1/chat/completions"), *headers.items()):
        header = message.request_headers.headers.headers.add()
        header.key = name if "-" in name else f"x-{name.replace('_', '-')}"
        header.raw_value = value.encode()
    if cluster:
        attributes = message.attributes["envoy.filters.http.ext_proc"]
        attributes["xds.cluster_name"] = cluster
    serialized: bytes = message.SerializeToString()
    return serialized


def slot_request(cluster: str = "chat-a", **headers: str) -> bytes:
    """Request headers of what takes a slot."""
    return request(cluster, puna_slots="1", puna_target="chat", **headers)


def grpc(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def begin(stream: int, message: bytes | None = None, flags: int = 0) -> bytes:
    """Frames that begin a call and send a message in it."""
    headers = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, BLOCK)
    if message is None:
        return headers
    return headers + frames.frame(frames.DATA, flags, stream, grpc(message))


def end(stream: int) -> bytes:
    """The frame with which Envoy ends a call."""
    return frames.frame(frames.DATA, frames.END_STREAM, stream)


@dataclass
class Heard:
    """What a picker has said, by stream."""

    messages: dict[int, list[bytes]] = field(default_factory=dict)
    ended: dict[int, bytes] = field(default_factory=dict)
    """Blocks of trailers."""
    reset: dict[int, int] = field(default_factory=dict)
    goaway: int | None = None
    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """Type, flags, stream, payload."""
    _rest: bytes = b""
    _parts: dict[int, bytes] = field(default_factory=dict)

    @property
    def answers(self) -> dict[int, list[Answer]]:
        """Messages as what Envoy takes them for."""
        return {
            stream: [ext_proc.ProcessingResponse.FromString(message) for message in found]
            for stream, found in self.messages.items()
        }

    def hear(self, data: bytes) -> None:
        data = self._rest + data
        while len(data) >= frames.HEAD_SIZE:
            high, low, kind, flags, stream = frames.HEAD.unpack_from(data)
            size = frames.HEAD_SIZE + (high << 8 | low)
            if len(data) < size:
                break
            self._frame(kind, flags, stream, data[frames.HEAD_SIZE : size])
            data = data[size:]
        self._rest = data

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.frames.append((kind, flags, stream, payload))
        if kind == frames.DATA:
            self._messages(stream, payload)
        elif kind == frames.HEADERS and flags & frames.END_STREAM:
            self.ended[stream] = payload
        elif kind == frames.RST_STREAM:
            self.reset[stream] = int.from_bytes(payload, "big")
        elif kind == frames.GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")

    def _messages(self, stream: int, payload: bytes) -> None:
        data = self._parts.get(stream, b"") + payload
        while len(data) >= 5 and len(data) >= (size := 5 + int.from_bytes(data[1:5], "big")):
            self.messages.setdefault(stream, []).append(data[5:size])
            data = data[size:]
        self._parts[stream] = data


def kind(answer: Answer) -> str:
    """What an answer is: `pick ADDRESS`, `hold SECONDS`, `refuse STATUS REASON` or `go on`."""
    if answer.HasField("override_message_timeout"):
        return f"hold {answer.override_message_timeout.seconds}"
    if answer.HasField("immediate_response"):
        refusal = answer.immediate_response
        return f"refuse {refusal.status.code} {refusal.details.removeprefix('puna_')}"
    changed = headers_of(answer)
    if "x-puna-session" in changed:
        return f"pick {base64.b64decode(changed['x-puna-session']).decode()}"
    return "go on"


def headers_of(answer: Answer) -> Mapping[str, str]:
    """Headers that an answer sets."""
    options = answer.request_headers.response.header_mutation.set_headers
    return {option.header.key: option.header.raw_value.decode() for option in options}

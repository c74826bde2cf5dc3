"""Messages of Envoy's `ext_proc` (envoy.service.ext_proc.v3), as far as the picker needs them.

Numbers are those of Envoy's .proto files; a test compares every message with what protobuf makes
of them.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from puna_router.picker.choose import Prompt
from puna_router.picker.endpoint import Request
from puna_router.picker.prefixes import Prefix
from puna_router.picker.protobuf import MalformedError, content, fields, number, varint
from puna_router.picker.refusals import Reason, Refusal
from puna_router.picker.scheduler import Answer, Hold, Pick

SESSION_HEADER: Final = "x-puna-session"
"""Where the filter `stateful_session` finds the server that was picked."""
CLUSTER_HEADER: Final = "x-puna-cluster"
"""Where a route finds the cluster of a request whose own has no server (its `cluster_header`)."""
METADATA: Final = "puna"
ANSWERED: Final = "answered"
"""Dynamic metadata of a refusal: keeps Envoy from putting its own error in the place of ours."""
REASON: Final = "reason"
"""Dynamic metadata of a refusal: why it was made, for the access log."""
ATTRIBUTES: Final = "envoy.filters.http.ext_proc"
CLUSTER: Final = "xds.cluster_name"
IF_FREE: Final = b"if-free"
"""What a copy of a request says of its slots; others say how many they take."""
LONGEST_CHAIN: Final = 32
"""Prefixes of one prompt that are looked at."""

# ProcessingRequest
_REQUEST_HEADERS, _RESPONSE_HEADERS, _REQUEST_BODY = 2, 3, 4
_RESPONSE_BODY, _REQUEST_TRAILERS, _RESPONSE_TRAILERS, _ATTRIBUTES = 5, 6, 7, 9
_PLAIN_ANSWERS: Final = {
    # Each kind of message and the field of ProcessingResponse that says: go on.
    _REQUEST_HEADERS: content(1, b""),
    _RESPONSE_HEADERS: content(2, b""),
    _REQUEST_BODY: content(3, b""),
    _RESPONSE_BODY: content(4, b""),
    _REQUEST_TRAILERS: content(5, b""),
    _RESPONSE_TRAILERS: content(6, b""),
}
_OVERWRITE: Final = 2
"""HeaderValueOption.append_action OVERWRITE_IF_EXISTS_OR_ADD."""

_KEY: Final = b"x-puna-client"
_CHAIN: Final = b"x-puna-prefix"
_AFFINITY: Final = b"x-puna-affinity"
_SLOTS: Final = b"x-puna-slots"
_TARGET: Final = b"x-puna-target"
_ID: Final = b"x-request-id"
_WANTED: Final = frozenset({_KEY, _CHAIN, _AFFINITY, _SLOTS, _TARGET, _ID})
_NO_PROMPT: Final = Prompt()
_WANTED_SIZES: Final = frozenset(len(name) for name in _WANTED)
_FIRST: Final = 0x0A
"""Tag of field 1 with bytes: a header in its map, and a header's name."""
_RAW_VALUE: Final = 0x1A
_CONTINUED: Final = 0x80
"""Numbers from here on have more than one byte."""


class Other(NamedTuple):
    """A message that nothing depends on; Envoy waits for its answer all the same."""

    answer: bytes


Incoming: TypeAlias = Request | Other


def read(message: bytes) -> Incoming:
    """Read a ProcessingRequest.

    Raises:
        MalformedError: It is none.
    """
    headers: bytes | None = None
    cluster = ""
    answer: bytes | None = None
    for field, value in fields(message):
        if field == _REQUEST_HEADERS:
            headers = value
        elif field == _ATTRIBUTES:
            cluster = cluster_name(value) or cluster
        elif field in _PLAIN_ANSWERS:
            answer = _PLAIN_ANSWERS[field]
    if headers is not None:
        return _request(headers, cluster)
    if answer is None:
        raise MalformedError("neither headers nor a body nor trailers")
    return Other(answer)


@lru_cache(maxsize=1024)
def cluster_name(attributes: bytes) -> str:
    """Name of the cluster in one entry of the map of attributes; "" if it holds none.

    Raises:
        MalformedError: It is no such entry.
    """
    entry = dict(fields(attributes))
    if entry.get(1) != ATTRIBUTES.encode():
        return ""
    for field, member in fields(entry.get(2, b"")):
        attribute = dict(fields(member)) if field == 1 else {}
        if attribute.get(1) == CLUSTER.encode():
            value = dict(fields(attribute.get(2, b""))).get(3, b"")
            return value.decode("utf-8", "replace")
    return ""


@lru_cache(maxsize=4096)
def picked(pick: Pick) -> bytes:
    """The answer to a request that has a slot: the header that pins its server.

    A request keeps the routes of its arrival, whatever was published since; hence a header says
    which cluster it has to go to instead.
    """
    headers = _set_header(SESSION_HEADER, b64encode(pick.address.encode()))
    if pick.cluster is None:
        return content(1, content(1, content(2, headers)))
    headers += _set_header(CLUSTER_HEADER, pick.cluster.encode())
    return content(1, content(1, content(2, headers) + number(5, 1)))


@lru_cache(maxsize=64)
def held(hold: Hold) -> bytes:
    """The answer to a request that waits: when Envoy may give up."""
    seconds = int(hold.seconds)
    nanos = round((hold.seconds - seconds) * 1e9)
    return content(10, number(1, seconds) + (number(2, nanos) if nanos else b""))


def refused(refusal: Refusal, request_id: str) -> bytes:
    """The answer to a request that is not served."""
    headers = (
        ("content-type", b"application/json"),
        ("retry-after", str(refusal.retry_after).encode()),
    )
    immediate = (
        content(1, number(1, refusal.status))
        + content(2, b"".join(_set_header(name, value) for name, value in headers))
        + content(3, refusal.body(request_id))
        + content(5, f"puna_{refusal.reason.value}".encode())
    )
    return content(7, immediate) + _METADATA_OF[refusal.reason]


def answered(answer: Answer, request_id: str) -> bytes:
    """A decision as a ProcessingResponse."""
    if isinstance(answer, Pick):
        return picked(answer)
    if isinstance(answer, Hold):
        return held(answer)
    return refused(answer, request_id)


def going_on() -> bytes:
    """The answer to headers that the picker has nothing to say to."""
    return _PLAIN_ANSWERS[_REQUEST_HEADERS]


def _request(http_headers: bytes, cluster: str) -> Request:
    found: dict[bytes, bytes] = {}
    for field, value in fields(http_headers):
        if field == 1:
            found |= _headers(value)
    chain = _chain(found.get(_CHAIN, b""))
    return Request(
        cluster,
        found.get(_TARGET, b"").decode("utf-8", "replace"),
        found.get(_KEY, b"").decode("utf-8", "replace"),
        _SLOTS in found,
        Prompt(chain, found.get(_AFFINITY) or chain[0][0]) if chain else _NO_PROMPT,
        found.get(_ID, b"").decode("utf-8", "replace"),
        found.get(_SLOTS) == IF_FREE,
    )


def _headers(header_map: bytes) -> dict[bytes, bytes]:
    """The wanted headers of a HeaderMap. The others are passed over as fast as possible."""
    found: dict[bytes, bytes] = {}
    offset, end = 0, len(header_map)
    try:
        while offset < end:
            if header_map[offset] != _FIRST:
                raise MalformedError("a map of headers holds something else")
            size, start = header_map[offset + 1], offset + 2
            if size >= _CONTINUED:
                size, start = varint(header_map, offset + 1)
            offset = start + size
            if header_map[start + 1] in _WANTED_SIZES and header_map[start] == _FIRST:
                behind = start + 2 + header_map[start + 1]
                name = header_map[start + 2 : behind]
                if name in _WANTED:
                    found[name] = _value(header_map, behind, offset)
    except IndexError:
        offset = end + 1
    if offset != end:
        raise MalformedError("a map of headers does not end")
    return found


def _value(header_map: bytes, start: int, end: int) -> bytes:
    """What follows a header's name: `raw_value`, or `value` if Envoy is told so."""
    if end - start > 1 and header_map[start] == _RAW_VALUE:
        size, place = header_map[start + 1], start + 2
        if size >= _CONTINUED:
            size, place = varint(header_map, start + 1)
        if place + size == end:
            return header_map[place:end]
    parts = dict(fields(header_map[start:end]))
    return parts.get(3) or parts.get(2, b"")


def _chain(text: bytes) -> tuple[Prefix, ...]:
    """`<hash>:<bytes>,<hash>:<bytes>,...`, the shortest first; nothing if it is anything else."""
    if not text:
        return ()
    pairs = [entry.split(b":") for entry in text.split(b",", LONGEST_CHAIN)[:LONGEST_CHAIN]]
    try:
        return tuple([(digest, int(size)) for digest, size in pairs])
    except ValueError:
        return ()


def _set_header(name: str, value: bytes) -> bytes:
    header = content(1, name.encode()) + content(3, value)
    return content(1, content(1, header) + number(3, _OVERWRITE))


def _answered(reason: Reason) -> bytes:
    """Dynamic metadata of a refusal: it is an error document already, and why it was made."""
    members = _member(ANSWERED, number(4, 1)) + _member(REASON, content(3, reason.encode()))
    return content(8, _member(METADATA, content(5, members)))


def _member(name: str, value: bytes) -> bytes:
    """One member of a google.protobuf.Struct; the value is a google.protobuf.Value."""
    return content(1, content(1, name.encode()) + content(2, value))


_METADATA_OF: Final = {reason: _answered(reason) for reason in Reason}

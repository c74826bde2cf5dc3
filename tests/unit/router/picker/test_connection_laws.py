"""Whatever comes in: events or a clean end, and the same ones wherever the bytes are split."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from puna_router.picker import frames
from puna_router.picker.config import PickerConfig
from puna_router.picker.connection import Connection, Ended, Event, Message
from puna_router.picker.processor import Processor
from puna_router.picker.scheduler import Scheduler
from tests.ext_proc import BLOCK, HELLO, Heard, begin, end, grpc, slot_request
from tests.unit.router.picker.configs import config, host

STREAMS = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1, 2**31 + 1])
PAYLOADS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([slot_request(), slot_request(puna_client="x")]).map(grpc),
    st.just(BLOCK),
)
FRAMES = st.one_of(
    st.builds(frames.frame, st.integers(0, 11), st.integers(0, 255), STREAMS, PAYLOADS),
    st.builds(
        frames.frame, st.sampled_from([0, 1, 9]), st.sampled_from([0, 1, 4, 5]), STREAMS, PAYLOADS
    ),
    st.builds(begin, STREAMS, PAYLOADS),
    st.builds(begin, st.sampled_from([1, 3, 5]), st.just(slot_request())),
    st.builds(end, STREAMS),
    st.builds(frames.reset, STREAMS, st.integers(0, 20)),
    st.builds(frames.window_update, STREAMS, st.integers(0, 2**31 - 1)),
    st.builds(
        lambda name, value: frames.settings({name: value}), st.integers(1, 6), st.integers(0, 2**31)
    ),
    st.binary(max_size=12),
)
TALK = st.lists(FRAMES, max_size=25).map(b"".join)
HELLOS = st.sampled_from([HELLO, HELLO, HELLO, frames.PREFACE, b""])


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


class Answering:
    """A connection that answers every message with itself, and every end with one."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.heard = Heard()

    def receive(self, data: bytes) -> None:
        for event in self.connection.receive(data):
            if isinstance(event, Message):
                self.connection.send(event.stream, event.content)
            elif isinstance(event, Ended):
                self.connection.finish(event.stream)
        self.heard.hear(self.connection.take())

    @property
    def by_stream(self) -> dict[int, list[tuple[int, bytes]]]:
        """What was said on each stream; one message may have become several frames."""
        said: dict[int, list[tuple[int, bytes]]] = {}
        for kind, _, stream, content in self.heard.frames:
            # Which call is answered first on a connection gives up the table.
            payload = content.removeprefix(b"\x20") if kind == frames.HEADERS else content
            entries = said.setdefault(stream, [])
            if kind == frames.DATA and entries and entries[-1][0] == frames.DATA:
                entries[-1] = (frames.DATA, entries[-1][1] + payload)
            else:
                entries.append((kind, payload))
        return said


def taken(data: list[bytes]) -> tuple[list[Event], bytes, int]:
    """Events, what is said, and calls under way, if nobody answers."""
    server = Connection()
    events = [event for chunk in data for event in server.receive(chunk)]
    return events, server.take(), len(server)


@settings(max_examples=300)
@given(HELLOS, TALK, st.lists(st.integers(0, 10**6), max_size=8))
def test_a_split_anywhere_gives_the_same_events_and_bytes(
    hello: bytes, talk: bytes, cuts: list[int]
) -> None:
    assert taken([hello + talk]) == taken(chunks(hello + talk, cuts))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.binary(max_size=40)), max_size=6))
def test_a_byte_at_a_time_gives_the_same_answers(asked: list[tuple[int, bytes]]) -> None:
    begun: set[int] = set()
    talk = HELLO
    for stream, message in sorted(asked, key=lambda entry: entry[0]):
        talk += (
            frames.frame(frames.DATA, 0, stream, grpc(message))
            if stream in begun
            else begin(stream, message)
        )
        begun.add(stream)
    talk += b"".join(end(stream) for stream in begun)
    whole, split = Answering(), Answering()
    whole.receive(talk)
    for at in range(len(talk)):
        split.receive(talk[at : at + 1])
    assert split.by_stream == whole.by_stream
    assert not whole.connection.closed
    assert len(whole.connection) == 0


@settings(max_examples=300)
@given(HELLOS, TALK, st.lists(st.integers(0, 10**6), max_size=5))
def test_whatever_comes_in_the_counters_end_at_zero(
    hello: bytes, talk: bytes, cuts: list[int]
) -> None:
    scheduler = Scheduler()
    processor = Processor(scheduler)
    processor.configure(config(host("s", 1), depth=2), 0.0)
    peers = [processor.connect(), processor.connect()]
    for number, chunk in enumerate(chunks(hello + talk, cuts)):
        processor.receive(peers[0], chunk, float(number), 0.0)
        processor.receive(peers[1], hello + chunk if not number else chunk, float(number), 0.0)
        (state,) = scheduler.state().values()
        assert 0 <= state.hosts["s"].in_flight <= 1
        assert 0 <= state.depth <= 2
        assert state.picked - state.ended == state.hosts["s"].in_flight
    for peer in peers:
        processor.lose(peer, 99.0)
    (state,) = scheduler.state().values()
    assert (state.depth, state.hosts["s"].in_flight) == (0, 0)
    assert state.picked == state.ended
    processor.configure(PickerConfig(), 100.0)
    assert scheduler.state() == {}

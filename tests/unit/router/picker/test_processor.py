"""Envoy's calls, from bytes to bytes."""

from __future__ import annotations

from puna_router.picker import frames
from puna_router.picker.config import PickerConfig
from puna_router.picker.processor import Processor
from puna_router.picker.scheduler import Scheduler
from tests.ext_proc import HELLO, Heard, begin, end, grpc, kind, request, slot_request
from tests.unit.router.picker.configs import config, host


class Envoy:
    """Some connections to one processor."""

    def __init__(self, document: PickerConfig, connections: int = 1) -> None:
        self.scheduler = Scheduler()
        self.processor = Processor(self.scheduler)
        self.processor.configure(document, 0.0)
        self.peers = [self.processor.connect() for _ in range(connections)]
        self.heard = {peer: Heard() for peer in self.peers}
        for number in range(connections):
            self.send(HELLO, number)

    def send(self, data: bytes, connection: int = 0, now: float = 0.0) -> None:
        self.processor.receive(self.peers[connection], data, now, 0.0)
        self.collect()

    def collect(self) -> None:
        for peer in self.processor.waiting_output():
            self.heard[peer].hear(peer.connection.take())

    def told(self, stream: int, connection: int = 0) -> list[str]:
        answers = self.heard[self.peers[connection]].answers.get(stream, [])
        return [kind(answer) for answer in answers]


def test_a_request_is_picked_and_its_end_is_the_end_of_its_call() -> None:
    envoy = Envoy(config(host("10.0.0.1:80")))
    envoy.send(begin(1, slot_request()))
    assert envoy.told(1) == ["pick 10.0.0.1:80"]
    assert envoy.scheduler.state()["chat"].hosts["10.0.0.1:80"].in_flight == 1
    envoy.send(end(1))
    assert envoy.scheduler.state()["chat"].hosts["10.0.0.1:80"].in_flight == 0
    assert list(envoy.heard[envoy.peers[0]].ended) == [1]


def test_a_request_on_another_connection_gets_the_slot_that_becomes_free() -> None:
    envoy = Envoy(config(host("s"), timeout=60), connections=2)
    envoy.send(begin(1, slot_request()))
    envoy.send(begin(1, slot_request()), connection=1)
    assert envoy.told(1, connection=1) == ["hold 65"]
    envoy.send(end(1), now=2.0)
    assert envoy.told(1, connection=1) == ["hold 65", "pick s"]


def test_what_is_refused_is_told_at_once_and_what_waits_too_long_later() -> None:
    envoy = Envoy(config(host("s"), depth=1, timeout=10))
    for stream in (1, 3, 5):
        envoy.send(begin(stream, slot_request()))
    assert envoy.told(5) == ["refuse 429 queue_full"]
    envoy.processor.expire(10.0)
    envoy.collect()
    assert envoy.told(3) == ["hold 15", "refuse 429 queue_timeout"]


def test_a_connection_that_is_lost_frees_slots_and_places() -> None:
    envoy = Envoy(config(host("s")), connections=2)
    envoy.send(begin(1, slot_request()) + begin(3, slot_request()))
    envoy.send(begin(1, slot_request()), connection=1)
    envoy.processor.lose(envoy.peers[0], 1.0)
    envoy.collect()
    assert envoy.told(1, connection=1) == ["hold 65", "pick s"]
    assert envoy.scheduler.state()["chat"].cancelled == 1


def test_what_is_no_message_ends_its_call_alone() -> None:
    envoy = Envoy(config(host("s")))
    envoy.send(begin(1, b"\xff\xff") + begin(3, slot_request()))
    assert envoy.heard[envoy.peers[0]].ended[1].endswith(b"3")
    assert envoy.told(3) == ["pick s"]


def test_headers_that_come_twice_in_a_call_are_decided_once() -> None:
    envoy = Envoy(config(host("s")))
    envoy.send(begin(1, slot_request()))
    envoy.send(frames.frame(frames.DATA, 0, 1, grpc(slot_request())))
    assert envoy.told(1) == ["pick s", "go on"]
    assert envoy.scheduler.state()["chat"].picked == 1


def test_what_takes_no_slot_goes_on() -> None:
    envoy = Envoy(config(host("s")))
    envoy.send(begin(1, request()))
    assert envoy.told(1) == ["go on"]


def test_a_request_that_the_picker_does_not_know_goes_on() -> None:
    envoy = Envoy(PickerConfig())
    envoy.send(begin(1, slot_request()))
    assert envoy.told(1) == ["go on"]


def test_a_new_document_is_told_to_those_who_wait() -> None:
    envoy = Envoy(config(expected=1))
    envoy.send(begin(1, slot_request()))
    envoy.processor.configure(config(host("s")), 1.0)
    envoy.collect()
    assert envoy.told(1) == ["hold 65", "pick s"]

"""Conversations in simulated time: how many servers each of them meets."""

from __future__ import annotations

import heapq
import random

import pytest

from puna_router.picker.choose import Prompt
from puna_router.picker.config import Strategy
from puna_router.picker.endpoint import Request, Ticket
from puna_router.picker.scheduler import Decision, Pick, Scheduler
from tests.unit.router.picker.configs import CLUSTER, config, host

SERVERS, SLOTS = 4, 4
CONVERSATIONS, TURNS = 200, 5


class Simulation:
    """Conversations that take turns, a few requests under way at once."""

    def __init__(self, strategy: Strategy, at_once: int, shared: int) -> None:
        self.met: dict[int, set[str]] = {talk: set() for talk in range(CONVERSATIONS)}
        self._draw = random.Random(1)
        self._shared = shared
        self._at_once = at_once
        self._now = 0.0
        self._running: list[tuple[float, int, int, Ticket]] = []
        self._scheduler = Scheduler()
        hosts = [host(f"10.0.0.{number}:80", SLOTS) for number in range(SERVERS)]
        self._scheduler.configure(config(*hosts, strategy=strategy), 0.0)

    def run(self) -> float:
        """Servers that a conversation meets, on average."""
        turns = dict.fromkeys(self.met, 0)
        waiting = list(turns)
        self._draw.shuffle(waiting)
        while waiting or self._running:
            if waiting and len(self._running) < self._at_once:
                talk = waiting.pop()
                self._begin(talk, turns[talk])
                continue
            self._now, _, talk, ticket = heapq.heappop(self._running)
            self._note(self._scheduler.leave(ticket, self._now))
            turns[talk] += 1
            if turns[talk] < TURNS:
                waiting.insert(self._draw.randrange(len(waiting) // 2 + 1), talk)
        return sum(len(servers) for servers in self.met.values()) / CONVERSATIONS

    def _begin(self, talk: int, turn: int) -> None:
        # Every prompt begins with the same words; an answer and a question are 500 bytes.
        own = (
            (b"%d/%d" % (talk, number), self._shared + 500 * (number + 1))
            for number in range(turn + 1)
        )
        prompt = Prompt(((b"system", self._shared), *own), b"%d" % talk)
        request = Request(cluster=CLUSTER, prompt=prompt, id=str(talk))
        self._note(self._scheduler.arrive(request, self._now, 0.0)[1])

    def _note(self, decisions: list[Decision]) -> None:
        for ticket, answer in decisions:
            assert isinstance(answer, Pick)
            talk = int(ticket.request.id)
            self.met[talk].add(answer.address)
            ends = self._now + 0.2 + self._draw.expovariate(1.0)
            heapq.heappush(self._running, (ends, self._draw.getrandbits(32), talk, ticket))


@pytest.mark.parametrize("shared", [0, 600, 6000])
@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_up_to_half_load_a_conversation_meets_few_servers(at_once: int, shared: int) -> None:
    least_busy = Simulation(Strategy.LEAST_BUSY, at_once, shared).run()
    affine = Simulation(Strategy.PREFIX_AFFINITY, at_once, shared).run()
    assert affine <= 0.4 * least_busy

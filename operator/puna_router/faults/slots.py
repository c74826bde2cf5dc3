"""The slots of a server: so many requests at once; others wait, first in first out."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Slot:
    """One slot, with the prompt that its cache still holds."""

    number: int
    busy: bool = False
    prompt: str = ""


@dataclass(slots=True)
class Slots:
    """All slots of a server.

    Like llama-server it takes every request and lets it wait without a limit.
    """

    count: int
    slots: list[Slot] = field(init=False)
    _waiting: deque[Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.slots = [Slot(number) for number in range(self.count)]

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(slot.busy for slot in self.slots)

    @property
    def deferred(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    async def take(self, prompt: str) -> tuple[Slot, int]:
        """A slot, and how many characters of the prompt its cache holds already."""
        while self.busy == self.count:
            turn: Future[None] = get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                self._forget(turn)
                raise
        free = [slot for slot in self.slots if not slot.busy]
        held, slot = max(
            ((common_prefix(slot.prompt, prompt), slot) for slot in free),
            key=lambda pair: (pair[0], -pair[1].number),
        )
        slot.busy = True
        slot.prompt = prompt
        return slot, held

    def free(self, slot: Slot) -> None:
        """Give a slot back; whoever waits longest is next."""
        slot.busy = False
        self._wake_next()

    def _forget(self, turn: Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            # It was this one's turn, and it left: the next one must not wait for it.
            self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def common_prefix(first: str, second: str) -> int:
    """How many characters two texts begin with in common."""
    shorter = min(len(first), len(second))
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), shorter)

"""A queue that is first in, first out within a key, and fair across keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)


class _Place(NamedTuple):
    number: int
    key: str
    lane: str


@dataclass(slots=True)
class _Waiting(Generic[ItemT]):
    """Items of one key, in order of arrival in each lane."""

    lanes: dict[str, OrderedDict[ItemT, int]] = field(default_factory=dict)
    count: int = 0


class FairQueue(Generic[ItemT]):
    """Items with a key and a lane.

    A lane is what an item waits for: one may be blocked while another moves. Keys take turns: one
    that got something goes to the back. Every operation costs the same however long the queue is,
    but for keys that wait in blocked lanes alone.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[ItemT, _Place] = OrderedDict()
        self._keys: OrderedDict[str, _Waiting[ItemT]] = OrderedDict()
        self._lanes: dict[str, int] = {}
        self._lengths: list[OrderedDict[str, None]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[ItemT]:
        """Items in order of arrival."""
        return iter(self._places)

    def lanes(self) -> tuple[str, ...]:
        """Lanes that something waits in."""
        return tuple(self._lanes)

    def waiting(self) -> dict[str, int]:
        """How many items of each key wait."""
        return {key: waiting.count for key, waiting in self._keys.items()}

    def push(self, item: ItemT, key: str, lane: str) -> None:
        """Let an item wait."""
        self._number += 1
        self._places[item] = _Place(self._number, key, lane)
        waiting = self._keys.setdefault(key, _Waiting())
        waiting.lanes.setdefault(lane, OrderedDict())[item] = self._number
        self._lanes[lane] = self._lanes.get(lane, 0) + 1
        self._resize(key, waiting, 1)

    def take(self, lanes: Container[str]) -> ItemT | None:
        """Take the oldest item in any of these lanes, of the key whose turn it is."""
        for key, waiting in self._keys.items():
            heads = [
                next(iter(items.items())) for lane, items in waiting.lanes.items() if lane in lanes
            ]
            if heads:
                item, _ = min(heads, key=lambda head: head[1])
                self.discard(item)
                if key in self._keys:
                    self._keys.move_to_end(key)
                return item
        return None

    def take_newest_of_longest(self) -> ItemT:
        """Take the newest item of the key with the most; of several, the last to grow."""
        key = next(reversed(self._lengths[-1]))
        items = self._keys[key].lanes.values()
        item, _ = max((next(reversed(lane.items())) for lane in items), key=lambda last: last[1])
        self.discard(item)
        return item

    def oldest(self) -> ItemT | None:
        """The item that has waited longest."""
        return next(iter(self._places), None)

    def discard(self, item: ItemT) -> bool:
        """Let an item wait no longer; False if it did not."""
        place = self._places.pop(item, None)
        if place is None:
            return False
        waiting = self._keys[place.key]
        items = waiting.lanes[place.lane]
        del items[item]
        if not items:
            del waiting.lanes[place.lane]
        self._lanes[place.lane] -= 1
        if not self._lanes[place.lane]:
            del self._lanes[place.lane]
        self._resize(place.key, waiting, -1)
        return True

    def _resize(self, key: str, waiting: _Waiting[ItemT], change: int) -> None:
        """Note a key's new number of items: `_lengths[n - 1]` holds the keys with n."""
        lengths = self._lengths
        if waiting.count:
            del lengths[waiting.count - 1][key]
        waiting.count += change
        if waiting.count > len(lengths):
            lengths.append(OrderedDict())
        if waiting.count:
            lengths[waiting.count - 1][key] = None
            # The last of equally long keys is the one that grew last.
            lengths[waiting.count - 1].move_to_end(key, last=change > 0)
        else:
            del self._keys[key]
        while lengths and not lengths[-1]:
            lengths.pop()

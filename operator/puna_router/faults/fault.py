"""What can go wrong, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Final

DRAW_BYTES: Final = 8


class Fault(StrEnum):
    """One way to fail a client; docs/fault-lab.md has a row for each."""

    REFUSE = "refuse"
    """Reset the connection, and refuse new ones for a while."""
    RESET_BEFORE = "reset-before"
    """Reset the connection before the first byte of the answer."""
    RESET_AFTER = "reset-after"
    """Reset the connection after the head and the first part of the body."""
    STALL_BEFORE = "stall-before"
    """Say nothing for a while, then answer."""
    STALL_AFTER = "stall-after"
    """Fall silent for a while after the first part of the body, then go on."""
    TRICKLE = "trickle"
    """Send the answer byte by byte."""
    TRUNCATE = "truncate"
    """End the connection in an orderly way in the middle of the body."""
    HUGE = "huge"
    """Send a mebibyte in place of each token."""
    ERROR_500 = "error-500"
    """Answer 500, as for a prompt that the server cannot work on."""
    ERROR_503 = "error-503"
    """Answer 503 `Loading model` although `/health` says 200."""
    LEAK_SLOT = "leak-slot"
    """Answer well, but keep the slot busy for a while afterwards."""
    SICK_HEALTH = "sick-health"
    """Answer 503 on `/health` although requests are served; drawn for each check."""


Chances = Mapping[Fault, float]
"""Probability of each fault, from 0 to 1."""


def read_chances(texts: Iterable[str]) -> dict[Fault, float]:
    """Chances from texts such as `reset-before:0.1`.

    Raises:
        ValueError: a name or a number is none, or the probabilities exceed 1 together.
    """
    found: dict[Fault, float] = {}
    for text in texts:
        name, _, number = text.partition(":")
        if name not in set(Fault):
            raise ValueError(f"no fault {name!r}; there are: {', '.join(Fault)}")
        found[Fault(name)] = float(number)
    return checked(found)


def checked(chances: Mapping[Fault, float]) -> dict[Fault, float]:
    """The chances, if they are probabilities.

    Raises:
        ValueError: one is below 0, or those of one kind of request exceed 1 together.
    """
    if any(not 0 <= chance <= 1 for chance in chances.values()):
        raise ValueError("a probability is a number from 0 to 1")
    if sum(chance for fault, chance in chances.items() if fault != Fault.SICK_HEALTH) > 1:
        raise ValueError("the probabilities of all faults of a request exceed 1")
    return dict(chances)


def draw(seed: int, number: int, chances: Chances) -> Fault | None:
    """Fault of the request with this number, if it has one."""
    place = _uniform(f"request {seed} {number}")
    for fault in Fault:
        if fault == Fault.SICK_HEALTH:
            continue
        place -= chances.get(fault, 0.0)
        if place < 0:
            return fault
    return None


def health_lies(seed: int, number: int, chances: Chances) -> bool:
    """Whether the check with this number is told that the server is sick."""
    return _uniform(f"check {seed} {number}") < chances.get(Fault.SICK_HEALTH, 0.0)


def _uniform(name: str) -> float:
    digest = blake2b(name.encode(), digest_size=DRAW_BYTES).digest()
    return int.from_bytes(digest, "big") / (1 << 8 * DRAW_BYTES)

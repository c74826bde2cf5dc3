"""How fast an answer came. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SHORTEST: Final = 2
"""Tokens that an answer needs for its speed to be told."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one streamed answer, in seconds of one clock."""

    sent: float
    first: float | None = None
    """When the first piece of text came."""
    last: float | None = None
    pieces: int = 0
    tokens: int | None = None
    """Tokens as the server counted them."""

    def piece(self, now: float) -> Measured:
        """The measurement after one more piece of text."""
        first = now if self.first is None else self.first
        return replace(self, first=first, last=now, pieces=self.pieces + 1)

    @property
    def first_token_seconds(self) -> float | None:
        """Time from the request to the first piece of text."""
        return None if self.first is None else self.first - self.sent

    @property
    def tokens_per_second(self) -> float | None:
        """Speed after the first token; None for an answer too short to have one."""
        count = self.tokens if self.tokens is not None else self.pieces
        if self.first is None or self.last is None or self.last <= self.first or count < SHORTEST:
            return None
        return (count - 1) / (self.last - self.first)

    def sentence(self) -> str:
        """The figures in words."""
        if self.first_token_seconds is None:
            return "no text came"
        count = self.tokens if self.tokens is not None else self.pieces
        speed = self.tokens_per_second
        return (
            f"{count} tokens"
            + (f", {speed:.0f} tokens/s" if speed is not None else "")
            + f", first token after {self.first_token_seconds * 1000:.0f} ms"
        )

"""Why a request is not served, and what its client is told."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final, NamedTuple

_LONGEST_ID: Final = 120
_PRINTABLE: Final = range(32, 127)


class Reason(StrEnum):
    """Reasons in error documents and in counters."""

    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    NO_HEALTHY_ENDPOINT = "no_healthy_endpoint"
    KEY_CONCURRENCY = "key_concurrency"
    TOKENS_EXHAUSTED = "tokens_exhausted"
    NO_FREE_SLOT = "no_free_slot"
    """Of a copy: nobody but the access log and the series of dropped copies learns of it."""
    GAVE_WAY = "gave_way"
    """Of a copy that was under way."""


class Refusal(NamedTuple):
    """The answer to a request that is not served."""

    reason: Reason
    status: int
    type: str
    message: str
    retry_after: int
    """Seconds after which another attempt may succeed."""

    def body(self, request_id: str) -> bytes:
        """The error document, in the form that all of the router's errors have."""
        plain = "".join(letter if ord(letter) in _PRINTABLE else "?" for letter in request_id)
        error = {
            "code": self.status,
            "type": self.type,
            "reason": self.reason.value,
            "message": self.message,
            "request_id": plain[:_LONGEST_ID],
        }
        document = {"type": "error", "error": error}
        return json.dumps(document, separators=(",", ":")).encode()


def queue_full(depth: int) -> Refusal:
    """All places are taken, and those who wait have waited for longer or have fewer places."""
    message = (
        f"every slot is busy and {depth} requests wait already"
        if depth
        else "every slot is busy and none waits here"
    )
    return Refusal(Reason.QUEUE_FULL, 429, "overloaded_error", message, 2)


def queue_timeout(seconds: float) -> Refusal:
    """No slot became free in time."""
    message = f"no slot became free within {seconds:g} s"
    return Refusal(Reason.QUEUE_TIMEOUT, 429, "overloaded_error", message, 5)


def no_healthy_endpoint() -> Refusal:
    """There is no server, and none is expected soon."""
    message = "no backend of this model is healthy"
    return Refusal(Reason.NO_HEALTHY_ENDPOINT, 503, "unavailable_error", message, 5)


def key_concurrency(limit: int) -> Refusal:
    """The key has as many requests under way as it may."""
    message = f"this key may have {limit} requests under way at once, waiting ones too"
    return Refusal(Reason.KEY_CONCURRENCY, 429, "rate_limit_error", message, 1)


def tokens_exhausted(seconds: int) -> Refusal:
    """The key has used up its tokens for now."""
    message = f"this key has used up its tokens; it has some again in {seconds} s"
    return Refusal(Reason.TOKENS_EXHAUSTED, 429, "rate_limit_error", message, seconds)


def no_free_slot() -> Refusal:
    """A copy finds no slot that nobody else needs."""
    message = "no slot is free for a copy"
    return Refusal(Reason.NO_FREE_SLOT, 429, "overloaded_error", message, 1)


def gave_way() -> Refusal:
    """A copy has had its slot until somebody else needed it, or copies were wanted no more."""
    message = "the copy gave way"
    return Refusal(Reason.GAVE_WAY, 429, "overloaded_error", message, 1)

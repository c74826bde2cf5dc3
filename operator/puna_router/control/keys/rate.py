"""Rates: how often a key may ask an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from puna_router.config import AccessConfig, ApiKey


@dataclass(frozen=True, slots=True)
class Rate:
    """A sustained rate, and how many requests may come at once beyond it."""

    requests_per_minute: int
    burst: int

    @property
    def pace(self) -> int:
        """Seconds after which a key that has spent everything may ask again."""
        return ceil(60 / self.requests_per_minute)

    def share(self, routers: int) -> Rate:
        """The part that one of several routers hands out: at least one request."""
        return Rate(
            max(1, self.requests_per_minute // routers),
            max(1, self.burst // routers),
        )


def rate_of(access: AccessConfig, key: ApiKey) -> Rate:
    """Rate of a key: its own, else that of every key of the endpoint."""
    return Rate(
        key.requests_per_minute or access.requests_per_minute,
        key.burst or access.burst,
    )


def opens(key: ApiKey, endpoint: str) -> bool:
    """Whether a key is for an endpoint that names its Secret."""
    return not key.endpoints or endpoint in key.endpoints

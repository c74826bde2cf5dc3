"""What a Replace does to requests: announced before it begins, measured when it is over."""

from __future__ import annotations

from datetime import datetime

from puna.api.resource import Model


class ReplacementStatus(Model):
    """One revision in the place of another whose servers have to end first."""

    revision: str
    """Name of the new revision."""
    replaces: str
    """Name of the revision whose servers end."""
    announced_at: datetime
    """When it was said what it interrupts; it begins a moment later."""
    under_way: int | None = None
    """Requests that ran on the old servers when it began, as the routers counted; absent if one
    did not say."""
    expected_gap_seconds: int | None = None
    """How long no server was expected to answer: as long as the old servers took to start."""
    gap_began_at: datetime | None = None
    """When the last old server took no more requests."""
    gap_ended_at: datetime | None = None
    """When the routers had a healthy new one."""
    gap_seconds: float | None = None
    """Time between the two, in which requests waited."""

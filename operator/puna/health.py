"""Health: whether the operator does its work, judged from a few facts. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vitals:
    """Facts that the event loop writes down every second."""

    at: float
    """When they were written, on the monotonic clock."""
    waiting_seconds: float = 0.0
    """How long the oldest due resource has waited for a worker."""
    running_seconds: float = 0.0
    """How long the longest pass has been running."""
    running: str = ""
    """What it works on."""
    silent_seconds: float = 0.0
    """How long the most silent watch has heard nothing."""
    silent: str = ""
    """What it watches."""
    unreachable_seconds: float = 0.0
    """How long the API server has answered nothing at all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is no longer healthy, in seconds."""

    loop: float = 15.0
    waiting: float = 60.0
    running: float = 120.0
    silent: float = 420.0
    """More than a watch lasts, and than the longest back-off after it."""
    unreachable: float = 180.0


def verdict(vitals: Vitals, limits: Limits, now: float) -> str | None:
    """Return what is wrong, or None."""
    stalled = now - vitals.at
    if stalled > limits.loop:
        return f"the event loop has stalled for {stalled:.0f} s"
    if vitals.running_seconds > limits.running:
        return f"{vitals.running} has been worked on for {vitals.running_seconds:.0f} s"
    if vitals.waiting_seconds > limits.waiting:
        return f"a resource has waited {vitals.waiting_seconds:.0f} s for a worker"
    if vitals.unreachable_seconds > limits.unreachable:
        return f"the API server has not answered for {vitals.unreachable_seconds:.0f} s"
    if vitals.silent_seconds > limits.silent:
        return f"the watch of {vitals.silent} has been silent for {vitals.silent_seconds:.0f} s"
    return None

"""Samples: what a router has counted of each revision since its Envoy started.

`GET /samples/<endpoint>` of the control listener, and one series by that name for Prometheus.
Everything grows until Envoy starts again, so the difference of two answers is what happened between
them. Pure: pydantic only. The operator reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from puna_router.config import Document

SERIES: Final = "puna_router_samples"
"""Name of the series; labels: endpoint, revision, `sample`, and `start`, the name of Envoy's start,
so that no series of one name ever falls back to zero."""
UPTIME: Final = "uptime"
"""The sample that tells Envoy's age in seconds: no clock has to agree with that of its node."""


class Spread(Document):
    """Sums over the natural logarithms of values: what a mean ratio and its error follow from."""

    count: int = 0
    """Values."""
    logs: float = 0.0
    """Sum of their logarithms."""
    squares: float = 0.0
    """Sum of the squares of their logarithms."""


class RevisionSamples(Document):
    """What was counted of one revision."""

    requests: int = 0
    """Requests that have ended, but those whose client left within 5 s and before an answer, and
    those that limits of their API key refused."""
    failed: int = 0
    """Of these: status 500 and above, answers that broke off, refusals by the queue, and no answer
    for 5 s or more until the client left."""
    duration: Spread = Spread()
    """Milliseconds from a request's first byte to its answer's last, of answers below 400."""
    time_to_first_token: Spread = Spread()
    """Milliseconds to the first byte of the answer's body, of the same answers."""
    generated_tokens: int = 0
    """Tokens, as llama-server reports them."""
    generation_milliseconds: int = 0
    """Time that they took, as llama-server reports it."""
    token_time: Spread = Spread()
    """Milliseconds from token to token, one value for each answer."""


class EndpointSamples(Document):
    """Answer of `GET /samples/<endpoint>`."""

    uptime_seconds: float
    """Age of Envoy: before, it counted from zero."""
    start: str | None = None
    """What names this start of Envoy: another one has another name, whatever clocks say."""
    revisions: dict[str, RevisionSamples] = Field(default_factory=dict)
    """By name: what Envoy has counted of any revision, whether it is served or not; one that is
    served has zeros if there is nothing."""


def flat(samples: RevisionSamples) -> dict[str, float]:
    """Return samples as one number for each name, such as `failed` or `duration.count`."""
    found: dict[str, float] = {}
    for name, value in samples.model_dump().items():
        if isinstance(value, dict):
            found |= {f"{name}.{member}": float(number) for member, number in value.items()}
        else:
            found[name] = float(value)
    return found


def from_flat(numbers: Mapping[str, float]) -> RevisionSamples:
    """Return the samples that `flat` made these numbers of.

    Raises:
        ValidationError: these are no samples.
    """
    plain: dict[str, Any] = {}
    nested: dict[str, dict[str, float]] = {}
    for name, number in numbers.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = number
        else:
            plain[outer] = number
    return RevisionSamples.model_validate(plain | nested)

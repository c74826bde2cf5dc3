"""Routing of an LLMEndpoint: how requests are spread, which wait, and who else answers them.

Defaults are the operator's (`puna.settings.RouterSettings`); what is in force stands in the status.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import DNS_1035, LocalObjectReference, Model, Rule, SecretKeyReference
from puna_router.config import Strategy


class Queue(Model):
    """Where requests wait while every slot is taken."""

    max_depth: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Requests that may wait, 32 if absent; 0: none waits."""
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] | None = None
    """Longest wait, 60 if absent."""


class HealthCheck(Model):
    """The router's own checks of `/health`, beside the Pods' readiness."""

    interval_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    """Time between two checks of a server, 2 if absent."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] | None = None
    """Failed checks in a row that exclude a server, 2 if absent."""


class Routing(Model):
    """How the namespace's router treats the endpoint's requests; a change restarts nothing."""

    strategy: Strategy | None = None
    """How a server is chosen among those with a free slot, PrefixAffinity if absent."""
    queue: Queue = Queue()
    """Where requests wait while every slot is taken."""
    health_check: HealthCheck = HealthCheck()
    """The router's own checks of `/health`, beside the Pods' readiness."""
    retries: Annotated[int, Field(ge=0, le=5)] | None = None
    """Attempts on other servers before the first byte of an answer, 1 if absent."""
    idle_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """Longest silence of a request or stream, 300 if absent."""
    keep_alive_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    """Interval of comments in a silent stream, 15 if absent."""


class ExternalEndpoint(Model):
    """A server outside the cluster that speaks OpenAI's protocol."""

    name: Annotated[str, Field(pattern=DNS_1035, min_length=1, max_length=63)]
    """Name of the server, in metrics and states."""
    url: Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/?#@]+/?$")]
    """Scheme, host and port: https://studio.example:8443.

    Addresses that are not public have to be allowed by the operator's setting
    PUNA_ALLOWED_NETWORKS: a literal one is refused in condition Accepted, one that a name resolves
    to is left out by the router.
    """
    api_key_secret_ref: SecretKeyReference | None = None
    """Secret with the key that the server requires."""
    ca_secret_ref: LocalObjectReference | None = None
    """Secret with `ca.crt`, a PEM bundle that signs the server's certificate."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 1
    """Requests that it works on at once."""
    priority: Annotated[int, Field(ge=0, le=1)] = 0
    """0: an equal member; 1: it gets requests only while no server of priority 0 is healthy."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.caSecretRef) || self.url.startsWith('https:')",
            "is for https alone",
            ".caSecretRef",
            "FieldValueForbidden",
        ),
    )

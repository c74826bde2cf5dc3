"""Access: who may use an endpoint, and how often."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import LocalObjectReference, Model, Rule


class RateLimit(Model):
    """How often a key may be used."""

    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 120
    """Sustained rate of each key that names none itself."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Requests at once beyond the sustained rate, of each key that names none itself."""


class Access(Model):
    """Who may use the endpoint."""

    api_key_secret_ref: LocalObjectReference
    """Secret with the API keys, one data member each: `puna key create` writes them.

    The router answers no request while it is missing.
    """
    rate_limit: RateLimit = RateLimit()
    """Limits of the keys that name none themselves; per key, at this endpoint."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.apiKeySecretRef.name != 'puna-backend-key'",
            "puna-backend-key is what llama-servers require of the router; "
            "name a Secret that holds API keys",
            ".apiKeySecretRef.name",
        ),
    )

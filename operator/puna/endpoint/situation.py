"""The situation of an endpoint: all that a plan is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from puna.api.llmendpoint import LLMEndpoint
from puna.api.routing import Routing
from puna.core.naming import BACKEND_KEY_MEMBER
from puna.endpoint.census import Census
from puna.endpoint.effective import Effective
from puna.endpoint.observed import ObservedEndpoint
from puna.settings import Settings


@dataclass(frozen=True, slots=True)
class Situation:
    """An endpoint whose spec and references are in order, with all that a plan is made from."""

    endpoint: LLMEndpoint
    effective: Effective
    observed: ObservedEndpoint
    census: Census
    routing: Routing
    """Routing in force."""
    settings: Settings
    now: datetime

    @property
    def name(self) -> str:
        """Name of the endpoint."""
        return self.endpoint.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the endpoint."""
        return self.endpoint.metadata.namespace

    @property
    def history_limit(self) -> int:
        """Retired revisions to keep."""
        limit = self.endpoint.spec.revision_history_limit
        return self.settings.revision_history_limit if limit is None else limit

    @property
    def wants_servers(self) -> bool:
        """Whether any server of ours is wanted."""
        return any(pool.replicas for pool in self.effective.pools)

    @property
    def backend_key(self) -> str | None:
        """The key that servers have to require, once the namespace has one."""
        secret = self.observed.backend_key or {}
        key: str | None = secret.get("data", {}).get(BACKEND_KEY_MEMBER)
        return key

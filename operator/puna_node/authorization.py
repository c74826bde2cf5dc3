"""Who may use the node's HTTPS endpoint: client certificates, judged by the API server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from puna_node.api import Api, ApiError, ApiUnreachableError
from puna_node.manifest import Manifest

ALLOWED_SECONDS: Final = 300.0
DENIED_SECONDS: Final = 30.0
VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Subject of a verified client certificate."""

    user: str
    groups: tuple[str, ...]


def caller_of(certificate: dict[str, Any] | None) -> Caller | None:
    """Caller that a verified peer certificate names: common name and organizations."""
    if not certificate:
        return None
    pairs = [pair for group in certificate.get("subject", ()) for pair in group]
    user = next((value for name, value in pairs if name == "commonName"), None)
    if user is None:
        return None
    groups = [value for name, value in pairs if name == "organizationName"]
    return Caller(user, (*groups, "system:authenticated"))


def review_of(caller: Caller, *, verb: str, node: str, subresource: str) -> Manifest:
    """Question to the API server whether a caller may use a part of this endpoint."""
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": caller.user,
            "groups": list(caller.groups),
            "resourceAttributes": {
                "group": "",
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": node,
                "verb": verb,
            },
        },
    }


class Authorizer:
    """Asks the API server and remembers its answers for a while."""

    def __init__(self, api: Api, node: str) -> None:
        self._api, self._node = api, node
        self._answers: dict[tuple[Caller, str, str], tuple[bool, float]] = {}

    async def allows(self, caller: Caller, *, method: str, subresource: str) -> bool:
        """Whether a caller may do this; no answer of the API server means no."""
        verb = VERBS.get(method, "create")
        key = (caller, verb, subresource)
        known = self._answers.get(key)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        review = review_of(caller, verb=verb, node=self._node, subresource=subresource)
        try:
            allowed = await self._api.is_allowed(review)
        except (ApiError, ApiUnreachableError):
            return False
        lifetime = ALLOWED_SECONDS if allowed else DENIED_SECONDS
        self._answers[key] = (allowed, time.monotonic() + lifetime)
        return allowed

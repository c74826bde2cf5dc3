"""References: objects that a spec names and nobody watches, read when a plan needs them."""

from __future__ import annotations

import time
from typing import Final, TypeVar

from puna.cluster.client import Client
from puna.cluster.errors import RejectedError
from puna.cluster.resources import CLAIMS, SECRETS
from puna.core.plan import Manifest, Ref

FRESH_SECONDS: Final = 60.0
"""Age at which something that was there is read again."""
MISSING_SECONDS: Final = 5.0
"""Age at which something that was not there, or not usable yet, is read again."""

Known = TypeVar("Known")


class References:
    """Secrets and PersistentVolumeClaims by name, remembered for a while."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._secrets: dict[Ref, tuple[float, bool]] = {}
        self._claims: dict[Ref, tuple[float, Manifest | None]] = {}

    async def has_secret(self, ref: Ref) -> bool:
        """Return whether a Secret exists; its content is not read.

        Where the operator may not read Secrets the answer is yes: the kubelet then says what is
        missing.
        """
        now = time.monotonic()
        _forget(self._secrets, now)
        known = self._secrets.get(ref)
        if known is None:
            try:
                found = await self._client.exists(SECRETS, ref.namespace, ref.name)
            except RejectedError:
                found = True
            known = self._secrets[ref] = (now + _lifetime(usable=found), found)
        return known[1]

    async def claim(self, ref: Ref) -> Manifest | None:
        """Return a PersistentVolumeClaim."""
        now = time.monotonic()
        _forget(self._claims, now)
        known = self._claims.get(ref)
        if known is None:
            claim = await self._client.get(CLAIMS, ref.namespace, ref.name)
            known = self._claims[ref] = (now + _lifetime(usable=is_bound(claim)), claim)
        return known[1]


def is_bound(claim: Manifest | None) -> bool:
    """Return whether a claim has its volume."""
    return claim is not None and claim.get("status", {}).get("phase") == "Bound"


def _forget(known: dict[Ref, tuple[float, Known]], now: float) -> None:
    """Drop what has to be read again, so that objects long gone take no memory."""
    for ref in [ref for ref, (until, _) in known.items() if now >= until]:
        del known[ref]


def _lifetime(*, usable: bool) -> float:
    return FRESH_SECONDS if usable else MISSING_SECONDS

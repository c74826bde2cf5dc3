"""The meter: what each key has used of its tokens, from the counters of Envoy."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from puna_router.control.admin import Admin, AdminError
from puna_router.control.keys.budget import Budget, charge, exhausted_until, full, refill

PACE: Final = 1.0
"""Time between two looks at the counters, in seconds."""
COUNTERS: Final = "/stats/prometheus?filter=^puna.(prompt|generated)_tokens"

Account: TypeAlias = tuple[str, str]
"""Endpoint and name of a key."""

_SAMPLE: Final = re.compile(r"^envoy_puna_(?:prompt|generated)_tokens\{(.*)\} (\d+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(endpoint|key)="([^"]*)"')

logger = logging.getLogger(__name__)


class TokenMeter:
    """Budgets of all keys that have one."""

    def __init__(self, admin: Admin, changed: Callable[[], None]) -> None:
        self._admin = admin
        self._changed = changed
        self._limits: Mapping[Account, int] = {}
        self._budgets: dict[Account, Budget] = {}
        self._followed = asyncio.Event()
        self.exhausted: Mapping[Account, int] = {}
        """Accounts with nothing left, and the second of the epoch from which there is something."""

    def follow(self, limits: Mapping[Account, int]) -> None:
        """Keep budgets of so many tokens per minute, and no others."""
        if limits == self._limits:
            return
        self._limits = limits
        self._budgets = {
            account: self._budgets.get(account) or full(tokens, time.time())
            for account, tokens in limits.items()
        }
        self._followed.set()

    async def run(self) -> None:
        """Charge the budgets once a second, until cancelled; without any, ask nothing."""
        while True:
            if not self._limits:
                self._followed.clear()
                self._note({})
                await self._followed.wait()
            try:
                used = used_tokens(await self._admin.get(COUNTERS))
            except AdminError as error:
                logger.debug(f"Envoy's counters: {error}")
                self._settle(None)
            else:
                self._settle(used)
            await asyncio.sleep(PACE)

    def _settle(self, used: Mapping[Account, int] | None) -> None:
        """Bring the budgets to now; without an answer of Envoy they refill, and that is all."""
        now = time.time()
        for account, tokens in self._limits.items():
            before = self._budgets[account]
            self._budgets[account] = (
                refill(before, tokens_per_minute=tokens, now=now)
                if used is None
                else charge(before, used.get(account, 0), tokens_per_minute=tokens, now=now)
            )
        until = {
            account: exhausted_until(self._budgets[account], tokens)
            for account, tokens in self._limits.items()
        }
        self._note({account: second for account, second in until.items() if second is not None})

    def _note(self, exhausted: Mapping[Account, int]) -> None:
        if exhausted != self.exhausted:
            self.exhausted = exhausted
            self._changed()


def used_tokens(text: str) -> Counter[Account]:
    """Tokens by account, from Envoy's Prometheus text; all revisions of an endpoint together."""
    used: Counter[Account] = Counter()
    for labels, value in _SAMPLE.findall(text):
        found = dict(_LABEL.findall(labels))
        if found.get("key"):
            used[found.get("endpoint", ""), found["key"]] += int(value)
    return used

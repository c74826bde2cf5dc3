"""Reports a Pod's status: the newest one only, in order, until the API server has it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from puna_node.api import NOT_FOUND, UNPROCESSABLE, Api, ApiError, ApiUnreachableError
from puna_node.manifest import Manifest, pod_key
from puna_node.status import merge_conditions, status_patch

LOG: Final = logging.getLogger(__name__)
RETRY_SECONDS: Final = 0.25
LONGEST_RETRY_SECONDS: Final = 5.0


class StatusWriter:
    """Writes in the background, so that nothing waits for the API server to start or stop."""

    def __init__(self, api: Api, pod: Manifest) -> None:
        self._api, self._pod = api, pod
        self._conditions: list[Manifest] = (pod.get("status") or {}).get("conditions") or []
        self._wanted: Manifest | None = None
        self._written: Manifest | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def publish(self, status: Manifest) -> None:
        """Report a status unless it is the one that was reported last."""
        if status in (self._wanted, self._written if self._wanted is None else None):
            return
        self._wanted = status
        self._idle.clear()
        self._changed.set()

    async def flush(self) -> None:
        """Wait until what was published has arrived, or the Pod is gone."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write what is published, for ever."""
        failures = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            status = self._wanted
            if status is None:
                continue
            try:
                await self._write(status)
            except ApiError as error:
                if error.status not in {NOT_FOUND, UNPROCESSABLE}:
                    failures = await self._retry_later(failures, error)
                    continue
                LOG.info("status of %s: %s", pod_key(self._pod), error)
            except ApiUnreachableError as error:
                failures = await self._retry_later(failures, error)
                continue
            failures = 0
            self._written = status
            if self._wanted is status:
                self._wanted = None
                self._idle.set()
            else:
                self._changed.set()

    async def _retry_later(self, failures: int, error: Exception) -> int:
        LOG.warning("status of %s not written: %s", pod_key(self._pod), error)
        await asyncio.sleep(min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(failures, 8)))
        self._changed.set()
        return failures + 1

    async def _write(self, status: Manifest) -> None:
        conditions = merge_conditions(self._conditions, status["conditions"], datetime.now(UTC))
        patch = status_patch(self._pod, {**status, "conditions": conditions})
        written = await self._api.patch_pod_status(pod_key(self._pod), patch)
        self._conditions = (written.get("status") or {}).get("conditions") or conditions

"""Telemetry of routers: what each says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from puna.cluster.pages import Pages
from puna_router.config import CONTROL_PORT, RouterState
from puna_router.samples import EndpointSamples

FRESH_SECONDS: Final = 0.1
"""Age up to which an answer is shared between endpoints."""
FRESH_SAMPLES_SECONDS: Final = 1.0
"""Age up to which samples are taken for the present ones: Envoy itself sums up every 5 s."""


class Telemetry:
    """What router Pods say, by address."""

    def __init__(self, pages: Pages, *, port: int = CONTROL_PORT) -> None:
        self._pages = pages
        self._port = port

    async def state(self, address: str, late: Callable[[], None]) -> RouterState | None:
        """Return what a router serves; None if it does not answer in time.

        An answer that comes after the wait calls `late`, so that somebody asks again.
        """
        page = await self._pages.read(
            self._url(address, "/state"), RouterState, late, fresh=FRESH_SECONDS
        )
        return None if page is None else page.document

    async def samples(
        self, address: str, endpoint: str, late: Callable[[], None]
    ) -> tuple[EndpointSamples, float] | None:
        """Return what a router has counted of an endpoint, and the seconds since it said so.

        None and `late` as for `state`.
        """
        page = await self._pages.read(
            self._url(address, f"/samples/{endpoint}"),
            EndpointSamples,
            late,
            fresh=FRESH_SAMPLES_SECONDS,
        )
        if page is None or page.document is None:
            return None
        return page.document, page.age

    def _url(self, address: str, path: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self._port}{path}"

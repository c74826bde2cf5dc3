"""The certificate that clients see, in files that may be replaced while the router runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from puna_router.control.files import Layout, write
from puna_router.control.snapshot import discovery_response
from puna_router.control.tls import CERTIFICATE, certificate

INTERVAL: Final = 1.0
"""Time between two looks at the files, in seconds."""

logger = logging.getLogger(__name__)


class Certificate:
    """A certificate with its key; the last good pair while the files hold none.

    Envoy gets it as a file of its own: another one is for new connections, and ends none.
    """

    def __init__(self, chain: Path, key: Path, layout: Layout) -> None:
        self._chain = chain
        self._key = key
        self._target = layout.resource("sds", CERTIFICATE)
        self._seen: tuple[str, str] | None = None
        self._problem: str | None = None
        self.read()

    @property
    def problem(self) -> str | None:
        """Why there is no certificate at all."""
        return None if self._target.exists() else self._problem

    async def run(self) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.read()

    def read(self) -> None:
        """Hand the pair on if it is another one, and a good one."""
        try:
            pair = (self._chain.read_text("utf-8"), self._key.read_text("utf-8"))
            if pair == self._seen:
                return
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._chain, self._key)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"the certificate {self._chain} with key {self._key}: {error}"
            if problem != self._problem:
                logger.error(problem)  # noqa: TRY400
            self._problem = problem
            return
        self._seen, self._problem = pair, None
        write(self._target, discovery_response([certificate(*pair)])[0])

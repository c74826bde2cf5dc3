"""Prometheus: instant queries of its HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel

from puna.cluster.pages import Page, Pages

FRESH_SECONDS: Final = 1.0
"""Age up to which an answer is shared."""
READ_SECONDS: Final = 10.0

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Prometheus:
    """One Prometheus, or what speaks its API."""

    def __init__(self, pages: Pages, url: str, *, token_file: Path | None = None) -> None:
        """`token_file` holds a bearer token; it is read for every query, since tokens expire."""
        self._pages = pages
        self._url = url.rstrip("/")
        self._token_file = token_file

    @property
    def name(self) -> str:
        """How messages name it: what a URL may hold of credentials is left out."""
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    async def query(
        self, expression: str, kind: type[AnswerT], late: Callable[[], None]
    ) -> Page[AnswerT] | None:
        """Return the answer to a query; None if it does not come in time.

        An answer that comes after the wait calls `late`, so that somebody asks again.
        """
        url = f"{self._url}/api/v1/query?query={quote(expression)}"
        return await self._pages.read(
            url,
            kind,
            late,
            fresh=FRESH_SECONDS,
            seconds=READ_SECONDS,
            headers=self._credentials,
        )

    def _credentials(self) -> dict[str, str]:
        """Return the headers that say who asks.

        Raises:
            OSError: the token cannot be read.
        """
        if self._token_file is None:
            return {}
        token = self._token_file.read_text("utf-8").strip()
        return {"Authorization": f"Bearer {token}"}

"""Completions: one request to a model's server or to a router, by address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

MAX_BYTES: Final = 1 << 20


class CompletionError(Exception):
    """No whole answer came."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def problem(self) -> str:
        """The server's own words for an error, else the first of its text."""
        try:
            error = json.loads(self.body)["error"]
            words = str(error["message"])
        except (ValueError, LookupError, TypeError):
            words = self.body.decode(errors="replace").strip()
        return f"HTTP {self.status}: {words[:200]}"


class Completions:
    """`POST` of JSON documents."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(
        self, url: str, body: Mapping[str, Any], *, key: str | None, timeout: float
    ) -> Reply:
        """Return the answer to one request, whatever its status; `timeout` is in seconds.

        Over https the certificate is not checked: it is made out to names that clients use, and a
        Pod is asked by its address.

        Raises:
            CompletionError: no whole answer came in time, or one that is too long.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.post(
                url, json=body, headers=headers, timeout=limit, ssl=False, allow_redirects=False
            ) as response:
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_BYTES:
                        raise CompletionError(f"an answer of more than {MAX_BYTES} bytes")
                return Reply(response.status, bytes(answer))
        except TimeoutError:
            raise CompletionError(f"no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CompletionError(f"{type(error).__name__}: {error}".rstrip(": ")) from error

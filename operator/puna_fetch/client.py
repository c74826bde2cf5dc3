"""One GET over HTTP/1.1, redirects followed under the rules for addresses and credentials.

The standard library's client carries it: a fetch needs one connection at a time, and to hand in a
connected socket is the whole of pinning an address. Proxies from the environment are not used,
since they would connect elsewhere.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

from puna_fetch.addresses import Network
from puna_fetch.connection import connect, tls_context
from puna_fetch.failure import FetchFailed, Interrupted
from puna_fetch.reasons import FetchReason
from puna_fetch.request import Limits
from puna_fetch.url import Url, may_see_credentials, redirected
from puna_fetch.watchdog import Watchdog

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_CHUNK = 256 * 1024
LINKED_DIGEST = "x-linked-etag"
"""Header of the hub's redirect to its storage: the digest of the file behind it."""


@dataclass
class Reply:
    """The reply to a GET: status and headers by lower-case name; its body is read in chunks."""

    url: Url
    status: int
    headers: Mapping[str, str]
    linked_digest: str | None
    _response: HTTPResponse = field(repr=False)
    _watchdog: Watchdog = field(repr=False)

    def read(self) -> bytes:
        """The next bytes of the body; empty at its end.

        Raises:
            Interrupted: the connection broke, or stood still.
        """
        try:
            chunk = self._response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise broken(self.url, error) from error
        if not chunk and self._watchdog.has_cut:
            raise Interrupted(f"{self.url}: too little came in for too long")
        self._watchdog.receive(len(chunk))
        return chunk


@dataclass(frozen=True)
class Client:
    """Asks sources for files, as the rules allow."""

    networks: Sequence[Network]
    limits: Limits
    ca_file: Path | None
    authorization: str | None = field(repr=False)

    @contextmanager
    def get(self, origin: Url, headers: Mapping[str, str]) -> Iterator[Reply]:
        """The reply to a GET of `origin`, or of what it redirects to.

        Raises:
            FetchFailed: an address is refused, or a certificate is not trusted.
            Interrupted: the source cannot be reached now.
        """
        url, linked = origin, None
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(origin, url, headers, linked) as reply:
                if reply.status not in _REDIRECTS:
                    yield reply
                    return
                linked = linked or reply.headers.get(LINKED_DIGEST)
                url = _following(url, reply.headers.get("location"))
        raise FetchFailed(
            FetchReason.DOWNLOAD_FAILED, f"{origin}: more than {_MOST_REDIRECTS} redirects"
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self.ca_file)

    @contextmanager
    def _exchange(
        self, origin: Url, url: Url, headers: Mapping[str, str], linked: str | None
    ) -> Iterator[Reply]:
        connection = connect(
            url,
            networks=self.networks,
            timeout=self.limits.connect,
            tls=self._tls if url.is_encrypted else None,
        )
        with closing(connection), closing(HTTPConnection(url.host, url.port)) as http:
            connection.settimeout(self.limits.stall)
            watchdog = Watchdog(connection, self.limits.stall)
            try:
                http.sock = connection
                response = _answer(http, url, self._headers(origin, url, headers), watchdog)
                with closing(response):
                    yield Reply(
                        url,
                        response.status,
                        {name.lower(): value for name, value in response.getheaders()},
                        linked or response.headers.get(LINKED_DIGEST),
                        response,
                        watchdog,
                    )
            finally:
                watchdog.stop()

    def _headers(self, origin: Url, url: Url, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {"Host": url.authority, "User-Agent": "puna-fetch", "Connection": "close", **headers}
        if self.authorization and may_see_credentials(origin, url):
            sent["Authorization"] = self.authorization
        return sent


def _answer(
    http: HTTPConnection, url: Url, headers: Mapping[str, str], watchdog: Watchdog
) -> HTTPResponse:
    try:
        http.request("GET", url.target, headers=headers)
        return http.getresponse()
    except (OSError, HTTPException, ValueError) as error:
        if watchdog.has_cut:
            raise Interrupted(f"{url}: no answer came in time") from error
        raise broken(url, error) from error


def broken(url: Url, error: Exception) -> Interrupted:
    """The interruption that an error of the connection means."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Interrupted(f"{url}: the connection broke: {text or type(error).__name__}")


def _following(url: Url, location: str | None) -> Url:
    if location is None:
        raise FetchFailed(FetchReason.DOWNLOAD_FAILED, f"{url}: a redirect without an address")
    try:
        return redirected(url, location)
    except ValueError as error:
        raise FetchFailed(
            FetchReason.ADDRESS_REFUSED, f"{url}: its redirect is refused: {error}"
        ) from error

"""An http or https address, what its redirects may lead to, and how it is shown. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192
# Characters that a request line may hold as they are; '%' because escapes stay as they were
# written.
_UNESCAPED = "%/:=&?~+!$,;'@()*[]-._"


class Url(NamedTuple):
    """One http or https address."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they go into the request line."""

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port as the Host header wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The address without its query: that part may hold a signature, which is a secret."""
        path, query, _ = self.target.partition("?")
        return f"{self.scheme}://{self.authority}{path}{query and '?...'}"


def parse_url(text: str) -> Url:
    """The address in the text; a fragment is dropped.

    Raises:
        ValueError: it is no http or https address, or holds a user name or password. The message
        shows no secret.
    """
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"scheme '{parts.scheme[:20]}' is neither http nor https")
    if "@" in parts.netloc:
        raise ValueError("an address must not hold a user name or password: use a Secret")
    if len(text) > _LONGEST:
        raise ValueError(f"an address must not have more than {_LONGEST} characters")
    try:
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except ValueError as error:
        raise ValueError("the host or port is malformed") from error
    if not host or any(character <= " " for character in host):
        raise ValueError("the host is missing or malformed")
    target = quote(parts.path or "/", safe=_UNESCAPED)
    if parts.query:
        target += "?" + quote(parts.query, safe=_UNESCAPED)
    return Url(parts.scheme, host, port, target)


def redirected(url: Url, location: str) -> Url:
    """The address that a redirect of `url` leads to.

    Raises:
        ValueError: it must not be followed: another scheme, or from encrypted to plain.
    """
    following = parse_url(urljoin(f"{url.scheme}://{url.authority}{url.target}", location))
    if url.is_encrypted and not following.is_encrypted:
        raise ValueError(f"it leads from https to {following}")
    return following


def may_see_credentials(origin: Url, url: Url) -> bool:
    """Whether credentials for `origin` may go to `url`: the same server or its encrypted twin."""
    if origin.host != url.host:
        return False
    same = (origin.scheme, origin.port) == (url.scheme, url.port)
    upgraded = (origin.scheme, origin.port, url.scheme, url.port) == ("http", 80, "https", 443)
    return same or upgraded

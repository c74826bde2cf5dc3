"""External servers: what a document says of them, put together with names resolved and Secrets."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from puna_router.config import ExternalConfig
from puna_router.control.addresses import is_allowed

CA_MEMBER: Final = "ca.crt"
"""Member of a Secret that holds certificates of authorities, as PEM."""

SecretData: TypeAlias = Mapping[str, Mapping[str, bytes]]
"""Members of Secrets, by the Secret's name; Secrets that cannot be read are absent."""


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """One external server as it is spoken to."""

    name: str
    host: str
    """Name or address in its URL, without brackets."""
    port: int
    authority: str
    """What stands between the slashes of its URL: its `Host` header."""
    priority: int
    encrypted: bool
    authorities: str | None = None
    """Certificates (PEM) that sign the server's; None: those of the system."""
    key: str | None = None
    """Key that it requires."""


@dataclass(frozen=True, slots=True)
class ExternalHost:
    """One address of an external server, with its part of the server's slots."""

    server: ExternalServer
    address: str
    slots: int


class Location(NamedTuple):
    """Where a URL leads."""

    encrypted: bool
    host: str
    port: int
    authority: str


class UnusableExternalError(Exception):
    """An external server that gets no requests; says why."""


def location(url: str) -> Location:
    """Take a URL apart.

    Raises:
        UnusableExternalError: It names no host, or no port that there can be.
    """
    parts = urlsplit(url)
    encrypted = parts.scheme == "https"
    try:
        port = parts.port or (443 if encrypted else 80)
    except ValueError as error:
        raise UnusableExternalError(f"url: {error}") from error
    if not parts.hostname:
        raise UnusableExternalError("url: names no host")
    return Location(encrypted, parts.hostname, port, parts.netloc)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, which nobody has to look up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def external_hosts(
    config: ExternalConfig, addresses: Sequence[str], secrets: SecretData
) -> tuple[ExternalHost, ...]:
    """Hosts of one external server at the addresses that its name has now.

    Raises:
        UnusableExternalError: Something is missing, wrong or not allowed.
    """
    where = location(config.url)
    server = ExternalServer(
        name=config.name,
        host=where.host,
        port=where.port,
        authority=where.authority,
        priority=config.priority,
        encrypted=where.encrypted,
        authorities=_authorities(config, secrets) if where.encrypted else None,
        key=_key(config, secrets),
    )
    if not addresses:
        raise UnusableExternalError(f"{where.host} has no address")
    if config.allowed_networks is not None:
        for address in addresses:
            if not is_allowed(address, config.allowed_networks):
                raise UnusableExternalError(f"{address} is not in an allowed network")
    # Together they have the slots of the server.
    used = list(addresses[: config.slots])
    whole, rest = divmod(config.slots, len(used))
    return tuple(
        ExternalHost(server, address, whole + (index < rest)) for index, address in enumerate(used)
    )


def _key(config: ExternalConfig, secrets: SecretData) -> str | None:
    if config.api_key_secret is None:
        return None
    key = _member(config.api_key_secret, config.api_key_member, secrets).strip()
    if not key or not all("!" <= character <= "~" for character in key):
        raise UnusableExternalError(
            f"member {config.api_key_member} of Secret {config.api_key_secret} holds no key of "
            "printable ASCII"
        )
    return key


def _authorities(config: ExternalConfig, secrets: SecretData) -> str | None:
    if config.ca_secret is None:
        return None
    text = _member(config.ca_secret, CA_MEMBER, secrets)
    problem = _problem_of(text)
    if problem is not None:
        raise UnusableExternalError(
            f"member {CA_MEMBER} of Secret {config.ca_secret} holds no certificate: {problem}"
        )
    return text


@lru_cache(maxsize=64)
def _problem_of(authorities: str) -> str | None:
    """Why these are no certificates: Envoy would refuse the whole cluster for it."""
    try:
        ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        return str(error)
    return None


def _member(secret: str, member: str, secrets: SecretData) -> str:
    content = secrets.get(secret, {}).get(member)
    if content is None:
        raise UnusableExternalError(f"there is no member {member} of a Secret {secret}")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnusableExternalError(f"member {member} of Secret {secret} is no text") from None

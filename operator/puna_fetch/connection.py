"""Connections to checked addresses: what was checked is what is connected to."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from puna_fetch.addresses import Network, refusal
from puna_fetch.failure import FetchFailed, Interrupted
from puna_fetch.reasons import FetchReason
from puna_fetch.url import Url

Candidate: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]
"""An address family, and an address as the sockets of that family take it: first its host."""

_MOST_ADDRESSES = 4


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The trust in the system's authorities, and in those of the file.

    Raises:
        FetchFailed: with reason InvalidRequest, where the file is no PEM bundle.
    """
    context = ssl.create_default_context()
    if not _system_has_authorities():
        # A slim image, or a Python that was built elsewhere and knows no folder of this system.
        import certifi  # noqa: PLC0415 - needed on few systems

        context.load_verify_locations(certifi.where())
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise FetchFailed(
                FetchReason.INVALID_REQUEST, f"the CA file is no readable PEM bundle: {error}"
            ) from error
    return context


def _system_has_authorities() -> bool:
    places = ssl.get_default_verify_paths()
    return places.cafile is not None or (
        places.capath is not None and any(os.scandir(places.capath))
    )


def connect(
    url: Url, *, networks: Sequence[Network], timeout: float, tls: ssl.SSLContext | None
) -> socket.socket:
    """A connection to the url's server, at an address that the policy allows.

    Raises:
        FetchFailed: no address is allowed, or the server's certificate is not trusted.
        Interrupted: the name cannot be resolved now, or no address answers.
    """
    allowed = _allowed_addresses(url, networks, timeout)
    last: OSError | None = None
    for family, address in allowed[:_MOST_ADDRESSES]:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _encrypted(connection, url, tls) if tls else connection
        except OSError as error:
            connection.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise _untrusted(url, error) from error
            last = error
        except BaseException:
            connection.close()
            raise
    raise Interrupted(f"{url.authority}: cannot connect: {_text(last)}") from last


def _allowed_addresses(url: Url, networks: Sequence[Network], timeout: float) -> list[Candidate]:
    allowed = []
    refusals: list[str] = []
    for family, address in _resolve(url, timeout):
        reason = refusal(str(address[0]), networks)
        if reason is None:
            allowed.append((family, address))
        else:
            refusals.append(reason)
    if not allowed:
        raise FetchFailed(
            FetchReason.ADDRESS_REFUSED,
            f"{url}: {refusals[0]}; the operator's allowed networks do not name it",
        )
    return allowed


def _resolve(url: Url, timeout: float) -> list[Candidate]:
    # In a thread, since the C library bounds a lookup by its own settings and hears no signal
    # meanwhile.
    outcome: list[list[Candidate] | OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        except OSError as error:
            outcome.append(error)
        else:
            outcome.append([(family, address) for family, _, _, _, address in answers])

    thread = threading.Thread(target=look_up, name="resolver", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise Interrupted(f"{url.host}: the name was not resolved within {timeout:g} s")
    addresses = outcome[0]
    if isinstance(addresses, OSError):
        raise Interrupted(f"{url.host}: the name cannot be resolved: {_text(addresses)}")
    return addresses


def _encrypted(connection: socket.socket, url: Url, tls: ssl.SSLContext) -> ssl.SSLSocket:
    return tls.wrap_socket(connection, server_hostname=url.host)


def _untrusted(url: Url, error: ssl.SSLCertVerificationError) -> FetchFailed:
    return FetchFailed(
        FetchReason.DOWNLOAD_FAILED,
        f"{url.authority}: its certificate is not trusted ({error.verify_message}):"
        " name a Secret with its CA",
    )


def _text(error: OSError | None) -> str:
    if error is None:
        return "no address"
    return error.strerror or str(error) or type(error).__name__

"""TLS of a server that a fetch talks to."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.certificates import Authority


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the PEM file of the authority behind it."""
    authority = Authority()
    chain, key = authority.issue("127.0.0.1")
    ca_file = folder / "ca.pem"
    ca_file.write_text(authority.pem)
    combined = folder / "server.pem"
    combined.write_text(key + chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(combined)
    return context, ca_file

"""TLS of the node's HTTPS endpoint."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from puna_node.config import AgentConfig

LIFETIME: Final = timedelta(days=365)


def server_tls(config: AgentConfig, address: str, folder: Path) -> ssl.SSLContext:
    """TLS settings of the endpoint: client certificates of `client_ca` are verified.

    Without a serving certificate in the settings one is made for this start; the API server then
    must not check it (no `--kubelet-certificate-authority`).
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if config.serving_certificate and config.serving_key:
        context.load_cert_chain(config.serving_certificate, config.serving_key)
    else:
        context.load_cert_chain(_self_signed(config.node_name, address, folder))
    if config.client_ca:
        # Verified where one is presented: /healthz needs none.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(config.client_ca)
    return context


def _self_signed(node_name: str, address: str, folder: Path) -> Path:
    # 10 MiB that an agent with a certificate does without.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node_name}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(node_name), x509.IPAddress(ipaddress.ip_address(address))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "serving.pem"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path

"""Authorities and certificates, made with `cryptography` and kept in the credentials folder."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from puna_cli.cluster.identities import CLUSTER_CA, ETCD_CA, CertificateRequest
from puna_cli.paths import ClusterPaths

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
RENEWAL_DAYS = 30
"""A certificate that ends within this many days is issued anew by `puna up`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_authority(common_name: str, now: datetime) -> Identity:
    """A self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    return Identity(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Identity, request: CertificateRequest, now: datetime) -> Identity:
    """A certificate as requested, signed by the authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in request.organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)]
    )
    issuer = authority.certificate.subject
    builder = _builder(subject, issuer, key.public_key(), now, LEAF_DAYS)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] if request.client else []
    if request.hosts:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names = [_general_name(host) for host in request.hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
        critical=False,
    )
    return Identity(builder.sign(authority.key, hashes.SHA256()), key)


def is_current(
    certificate: x509.Certificate,
    request: CertificateRequest,
    authority: x509.Certificate,
    now: datetime,
) -> bool:
    """Whether a stored certificate says what is requested, by this authority, for long enough."""
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (
        common_name == request.common_name
        and tuple(str(group.value) for group in groups) == request.organizations
        and _hosts(certificate) == request.hosts
        and certificate.issuer == authority.subject
        and _authority_key(certificate) == _subject_key(authority)
        and certificate.not_valid_after_utc - now > timedelta(days=RENEWAL_DAYS)
    )


def ensure_certificates(
    paths: ClusterPaths, requests: tuple[CertificateRequest, ...], now: datetime
) -> None:
    """Make what is missing, wrong or about to end; keep the rest."""
    paths.credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
    authorities = {
        name: _authority(paths, name, f"puna {title}", now)
        for name, title in ((CLUSTER_CA, "local cluster"), (ETCD_CA, "etcd"))
    }
    for request in requests:
        authority = authorities[request.authority]
        certificate = _read_certificate(paths.certificate(request.name))
        if certificate is None or not is_current(certificate, request, authority.certificate, now):
            _write(paths, request.name, issue(authority, request, now))
    if not paths.key("service-accounts").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write_file(paths.key("service-accounts"), _private_pem(key))
        _write_file(
            paths.credentials / "service-accounts.pub",
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        )


def add_user(
    paths: ClusterPaths, name: str, common_name: str, organizations: tuple[str, ...], now: datetime
) -> None:
    """Certificate and key of one more user of the cluster, under `name`."""
    authority = _read(paths, CLUSTER_CA)
    if authority is None:
        raise FileNotFoundError(paths.certificate(CLUSTER_CA))
    request = CertificateRequest(name, common_name, organizations=organizations)
    _write(paths, name, issue(authority, request, now))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    # Python 3.13 refuses an authority without keyUsage.
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def _authority_key(certificate: x509.Certificate) -> bytes | None:
    extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    return extension.value.key_identifier


def _subject_key(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _authority(paths: ClusterPaths, name: str, common_name: str, now: datetime) -> Identity:
    stored = _read(paths, name)
    if stored is not None:
        return stored
    created = new_authority(common_name, now)
    _write(paths, name, created)
    return created


def _read(paths: ClusterPaths, name: str) -> Identity | None:
    certificate = _read_certificate(paths.certificate(name))
    if certificate is None or not paths.key(name).exists():
        return None
    key = serialization.load_pem_private_key(paths.key(name).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return Identity(certificate, key)


def _read_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _write(paths: ClusterPaths, name: str, identity: Identity) -> None:
    # The key first: a certificate without its key would be taken for complete.
    _write_file(paths.key(name), _private_pem(identity.key))
    _write_file(
        paths.certificate(name), identity.certificate.public_bytes(serialization.Encoding.PEM)
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_file(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.rename(path)

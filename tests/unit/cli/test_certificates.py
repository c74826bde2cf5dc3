from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from puna_cli.cluster.certificates import (
    LEAF_DAYS,
    add_user,
    ensure_certificates,
    is_current,
    issue,
    new_authority,
)
from puna_cli.cluster.identities import CertificateRequest, cluster_requests, user
from puna_cli.cluster.kubeconfig import kubeconfig
from puna_cli.paths import ClusterPaths

NOW = datetime(2026, 11, 21, tzinfo=UTC)
REQUESTS = cluster_requests("puna-test")


def names(paths: ClusterPaths) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(paths.credentials.iterdir())}


def test_an_authority_says_that_it_signs() -> None:
    usage = new_authority("test", NOW).certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign


def test_a_node_is_in_the_group_of_nodes() -> None:
    node = next(request for request in REQUESTS if request.name == "node")
    assert node.common_name == "system:node:puna-test"
    assert node.organizations == ("system:nodes",)


def test_no_process_but_the_administrator_is_a_master() -> None:
    masters = {r.name for r in REQUESTS if "system:masters" in r.organizations}
    assert masters == {"admin", "apiserver-kubelet-client"}


def test_the_strict_rules_of_new_pythons_accept_a_server(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path)
    ensure_certificates(paths, REQUESTS, datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(paths.certificate("ca")))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(paths.certificate("apiserver"), paths.key("apiserver"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


def test_a_second_run_changes_no_file(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path)
    ensure_certificates(paths, REQUESTS, NOW)
    before = names(paths)
    ensure_certificates(paths, REQUESTS, NOW + timedelta(days=300))
    assert names(paths) == before
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths.credentials.iterdir())


def test_a_certificate_about_to_end_is_issued_anew(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path)
    ensure_certificates(paths, REQUESTS, NOW)
    before = names(paths)
    ensure_certificates(paths, REQUESTS, NOW + timedelta(days=LEAF_DAYS - 20))
    after = names(paths)
    assert before["ca.crt"] == after["ca.crt"]
    assert before["admin.crt"] != after["admin.crt"]


@pytest.mark.parametrize(
    "other",
    [
        user("admin", "another", "system:masters"),
        user("admin", "puna-admin"),
        CertificateRequest("admin", "puna-admin", ("system:masters",), hosts=("127.0.0.1",)),
    ],
)
def test_a_certificate_for_another_purpose_is_not_current(other: CertificateRequest) -> None:
    request = user("admin", "puna-admin", "system:masters")
    authority = new_authority("test", NOW)
    certificate = issue(authority, request, NOW).certificate
    assert is_current(certificate, request, authority.certificate, NOW)
    assert not is_current(certificate, other, authority.certificate, NOW)
    assert not is_current(certificate, request, new_authority("test", NOW).certificate, NOW)


def test_a_user_can_be_added(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path)
    ensure_certificates(paths, REQUESTS, NOW)
    add_user(paths, "guest", "guest", ("guests",), NOW)
    certificate = x509.load_pem_x509_certificate(paths.certificate("guest").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=guest,O=guests"


def test_a_kubeconfig_carries_everything_it_needs() -> None:
    document = yaml.safe_load(
        kubeconfig(
            name="puna-x",
            server="https://127.0.0.1:1",
            user="admin",
            authority=b"ca",
            certificate=b"crt",
            key=b"key",
        )
    )
    assert document["current-context"] == "puna-x"
    assert document["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:1",
        "certificate-authority-data": "Y2E=",
    }
    assert document["users"][0]["user"]["client-key-data"] == "a2V5"

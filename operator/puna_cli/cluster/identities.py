"""Who has a certificate in a local cluster. Pure.

Two authorities: the cluster's (API server, users, node), and etcd's. Whoever gets a certificate
signed by the cluster still has no way into etcd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLUSTER_CA: Final = "ca"
ETCD_CA: Final = "etcd-ca"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Who a certificate names, and what it may be used for."""

    name: str
    """File name, without suffix."""
    common_name: str
    organizations: tuple[str, ...] = ()
    authority: str = CLUSTER_CA
    hosts: tuple[str, ...] = ()
    """DNS names and addresses of a server."""
    client: bool = True


def cluster_requests(node_name: str) -> tuple[CertificateRequest, ...]:
    """Every certificate of a local cluster."""
    return (
        CertificateRequest(
            "apiserver",
            "kube-apiserver",
            hosts=(
                "127.0.0.1",
                "10.96.0.1",
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ),
            client=False,
        ),
        user("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        user("admin", "puna-admin", "system:masters"),
        user("controller-manager", "system:kube-controller-manager"),
        user("scheduler", "system:kube-scheduler"),
        user("node", f"system:node:{node_name}", "system:nodes"),
        CertificateRequest(
            "node-server",
            f"system:node:{node_name}",
            organizations=("system:nodes",),
            hosts=("127.0.0.1", "localhost", node_name),
            client=False,
        ),
        user("operator", "puna-operator"),
        user("front", "puna-front"),
        CertificateRequest(
            "etcd",
            "etcd",
            authority=ETCD_CA,
            hosts=("127.0.0.1", "localhost"),
        ),
        CertificateRequest("etcd-client", "kube-apiserver", authority=ETCD_CA),
    )


def user(name: str, common_name: str, *organizations: str) -> CertificateRequest:
    """A client certificate of the cluster's authority: user name and groups."""
    return CertificateRequest(name, common_name, organizations=organizations)

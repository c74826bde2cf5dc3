"""Command lines of the control plane. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puna_cli.cluster.identities import CLUSTER_CA, ETCD_CA
from puna_cli.cluster.program import Program
from puna_cli.cluster.state import Ports
from puna_cli.paths import ClusterPaths

SERVICE_RANGE: Final = "10.96.0.0/16"
UNUSED_CONTROLLERS: Final = (
    # Pod addresses are loopback addresses, which Endpoints may not hold.
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)
# The default limits of the controllers' clients make a fresh cluster wait for seconds.
CLIENT_LIMITS: Final = ("--kube-api-qps=300", "--kube-api-burst=600")


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """An audit log of some users' requests, for measurements."""

    policy: Path
    log: Path


def api_server(
    paths: ClusterPaths, ports: Ports, binaries: Path, *, audit: AuditOptions | None = None
) -> tuple[Program, ...]:
    """The programs that store objects and make a Kubernetes API."""
    return (_etcd(paths, ports, binaries), _apiserver(paths, ports, binaries, audit))


def controllers(paths: ClusterPaths, binaries: Path) -> tuple[Program, ...]:
    """The programs that act on objects.

    They start when the custom resources are there: a garbage collector learns of later ones only
    after half a minute, and deletes no children until then.
    """
    return (_controller_manager(paths, binaries), _scheduler(paths, binaries))


def audit_policy(users: tuple[str, ...]) -> str:
    """Audit policy (JSON, which is YAML): metadata of these users' requests, nothing else."""
    names = ", ".join(f'"{user}"' for user in users)
    return (
        '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], '
        f'"rules": [{{"level": "Metadata", "users": [{names}]}}, {{"level": "None"}}]}}'
    )


def _etcd(paths: ClusterPaths, ports: Ports, binaries: Path) -> Program:
    client = f"https://127.0.0.1:{ports.etcd}"
    peer = f"https://127.0.0.1:{ports.etcd_peer}"
    certificate, key = paths.certificate("etcd"), paths.key("etcd")
    authority = paths.certificate(ETCD_CA)
    return Program(
        "etcd",
        (
            str(binaries / "etcd"),
            "--name=local",
            f"--data-dir={paths.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=local={peer}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={authority}",
            f"--cert-file={certificate}",
            f"--key-file={key}",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={authority}",
            f"--peer-cert-file={certificate}",
            f"--peer-key-file={key}",
            # A power failure may lose the last writes: the price of not waiting for the disk.
            "--unsafe-no-fsync=true",
            "--auto-compaction-retention=1h",
            "--log-level=warn",
        ),
        inputs=(authority, certificate, key),
    )


def _apiserver(
    paths: ClusterPaths, ports: Ports, binaries: Path, audit: AuditOptions | None
) -> Program:
    authority = paths.certificate(CLUSTER_CA)
    issuer = "https://kubernetes.default.svc.cluster.local"
    audit_flags = (
        (f"--audit-policy-file={audit.policy}", f"--audit-log-path={audit.log}") if audit else ()
    )
    return Program(
        "apiserver",
        (
            str(binaries / "kube-apiserver"),
            f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
            f"--etcd-cafile={paths.certificate(ETCD_CA)}",
            f"--etcd-certfile={paths.certificate('etcd-client')}",
            f"--etcd-keyfile={paths.key('etcd-client')}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={ports.api}",
            f"--tls-cert-file={paths.certificate('apiserver')}",
            f"--tls-private-key-file={paths.key('apiserver')}",
            f"--client-ca-file={authority}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--endpoint-reconciler-type=none",
            f"--service-account-issuer={issuer}",
            f"--service-account-key-file={paths.credentials / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={paths.key('service-accounts')}",
            f"--kubelet-certificate-authority={authority}",
            f"--kubelet-client-certificate={paths.certificate('apiserver-kubelet-client')}",
            f"--kubelet-client-key={paths.key('apiserver-kubelet-client')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false",
            *audit_flags,
        ),
        inputs=(authority, paths.certificate("apiserver"), paths.certificate("etcd-client")),
        # Open watches of others would hold it for much longer; what it was told is in etcd.
        stop_seconds=2,
    )


def _controller_manager(paths: ClusterPaths, binaries: Path) -> Program:
    kubeconfig = paths.kubeconfig_of("controller-manager")
    authority = paths.certificate(CLUSTER_CA)
    disabled = ",".join(f"-{name}" for name in UNUSED_CONTROLLERS)
    return Program(
        "controller-manager",
        (
            str(binaries / "kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--controllers=*,{disabled}",
            f"--service-account-private-key-file={paths.key('service-accounts')}",
            f"--root-ca-file={authority}",
            f"--cluster-signing-cert-file={authority}",
            f"--cluster-signing-key-file={paths.key(CLUSTER_CA)}",
            "--use-service-account-credentials=true",
            *_ALONE,
            *CLIENT_LIMITS,
        ),
        inputs=(kubeconfig, authority),
    )


def _scheduler(paths: ClusterPaths, binaries: Path) -> Program:
    kubeconfig = paths.kubeconfig_of("scheduler")
    return Program(
        "scheduler",
        (
            str(binaries / "kube-scheduler"),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            *_ALONE,
        ),
        inputs=(kubeconfig,),
    )


_ALONE: Final = ("--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0")

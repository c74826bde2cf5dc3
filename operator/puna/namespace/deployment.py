"""The router's Deployment: the control process, and Envoy and the picker beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from puna.core.naming import BACKEND_KEY_DIGEST, BACKEND_KEY_MEMBER, BACKEND_KEY_NAME, ROUTER_NAME
from puna.core.plan import Manifest
from puna.core.pod_security import container_security, pod_ip, pod_security
from puna.namespace.anchor import router_labels
from puna.namespace.service import router_selector
from puna.settings import RouterSettings
from puna_router.config import CLIENT_PORT, CONTROL_PORT, PICKER_PORT

DIRECTORY: Final = "/run/puna"
"""Folder that the containers share: bootstrap file, xDS files, sockets."""
KEY_MOUNT: Final = "/etc/puna/backend-key"
TLS_MOUNT: Final = "/etc/puna/tls"
"""Folder of `tls.crt` and `tls.key`, which the kubelet renews."""
ACCOUNT_MOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
ACCOUNT_UID: Final = "puna.dev/service-account-uid"
"""Tokens die with their ServiceAccount: a re-created one rolls the router."""
TOKEN_SECONDS: Final = 3600


def build_deployment(
    namespace: str,
    settings: RouterSettings,
    *,
    account_uid: str | None,
    backend_key: str,
    previous: Manifest | None,
) -> Manifest | None:
    """Return the Deployment; while the ServiceAccount is away the template keeps the uid it has.

    The digest of the backend key is part of the template: a mounted Secret follows a new key only
    after a minute or so, while the servers have it within seconds.

    None before the first ServiceAccount: the Deployment would roll as soon as that came.
    """
    uid = account_uid or _uid_of(previous)
    if uid is None:
        return None
    annotations = {ACCOUNT_UID: uid, BACKEND_KEY_DIGEST: backend_key}
    template = {"labels": router_labels(), "annotations": annotations}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": ROUTER_NAME, "namespace": namespace, "labels": router_labels()},
        "spec": {
            "replicas": settings.replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": router_selector()},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {"metadata": template, "spec": _pod_spec(settings)},
        },
    }


def _pod_spec(settings: RouterSettings) -> Manifest:
    placement: Manifest = {
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(toleration) for toleration in settings.tolerations],
    }
    return {name: value for name, value in placement.items() if value} | {
        "serviceAccountName": ROUTER_NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": settings.drain_seconds + 10,
        "containers": [_control(settings), _envoy(settings), _picker(settings)],
        "volumes": [
            {"name": "run", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "backend-key",
                "secret": {
                    "secretName": BACKEND_KEY_NAME,
                    "items": [{"key": BACKEND_KEY_MEMBER, "path": BACKEND_KEY_MEMBER}],
                },
            },
            {"name": "service-account", "projected": {"sources": _account_sources()}},
            *(
                [{"name": "tls", "secret": {"secretName": settings.tls_secret}}]
                if settings.tls_secret
                else []
            ),
        ],
    }


def _account_sources() -> list[Manifest]:
    """Return what a mounted ServiceAccount consists of, as the API server would add it."""
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]


def _control(settings: RouterSettings) -> Manifest:
    return {
        "name": "control",
        "image": settings.image,
        "args": [
            "serve",
            "--namespace=$(POD_NAMESPACE)",
            f"--directory={DIRECTORY}",
            f"--listen={settings.bind_address}",
            f"--port={CLIENT_PORT}",
            f"--control-port={CONTROL_PORT}",
            f"--api-key-file={KEY_MOUNT}/{BACKEND_KEY_MEMBER}",
            f"--service-account-directory={ACCOUNT_MOUNT}",
            f"--drain-seconds={settings.drain_seconds}",
            *([f"--tls-directory={TLS_MOUNT}"] if settings.tls_secret else []),
            "--pod=$(POD_NAME)",
            f"--peers={_labels(router_selector())}",
        ],
        "env": [
            pod_ip(),
            _own("POD_NAME", "metadata.name"),
            _own("POD_NAMESPACE", "metadata.namespace"),
        ],
        "ports": [{"name": "control", "containerPort": CONTROL_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe("/ready", "control", period=2, failures=2),
        "livenessProbe": _probe("/live", "control", period=10, failures=3),
        "resources": _resources(settings, "control"),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            _run_mount(),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "backend-key", "mountPath": KEY_MOUNT, "readOnly": True},
            {"name": "service-account", "mountPath": ACCOUNT_MOUNT, "readOnly": True},
            *(
                [{"name": "tls", "mountPath": TLS_MOUNT, "readOnly": True}]
                if settings.tls_secret
                else []
            ),
        ],
    }


def _envoy(settings: RouterSettings) -> Manifest:
    return {
        "name": "envoy",
        "image": settings.image,
        "args": [
            "envoy",
            f"--directory={DIRECTORY}",
            f"--drain-seconds={settings.drain_seconds}",
        ],
        "ports": [{"name": "http", "containerPort": CLIENT_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe(
            "/health",
            "http",
            scheme="HTTPS" if settings.tls_secret else "HTTP",
            period=2,
            failures=2,
        ),
        "resources": _resources(settings, "envoy"),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [_run_mount()],
    }


def _picker(settings: RouterSettings) -> Manifest:
    """Return the picker. Without one Envoy balances by itself, so the Pod stays ready for it.

    A guard starts another picker when one dies or hangs; the probe is for a guard that cannot.
    """
    return {
        "name": "picker",
        "image": settings.image,
        "args": [
            "picker",
            f"--directory={DIRECTORY}",
            f"--listen={settings.bind_address}",
            f"--port={PICKER_PORT}",
            f"--drain-seconds={settings.drain_seconds}",
            "--guarded",
        ],
        "env": [pod_ip()],
        "ports": [{"name": "picker", "containerPort": PICKER_PORT, "protocol": "TCP"}],
        "livenessProbe": _probe("/live", "picker", period=10, failures=3),
        "resources": _resources(settings, "picker"),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [_run_mount()],
    }


def _labels(selector: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(selector.items()))


def _own(variable: str, field: str) -> Manifest:
    reference = {"apiVersion": "v1", "fieldPath": field}
    return {"name": variable, "valueFrom": {"fieldRef": reference}}


def _run_mount() -> Manifest:
    return {"name": "run", "mountPath": DIRECTORY}


def _resources(settings: RouterSettings, container: str) -> Manifest:
    resources = settings.resources[container].to_dict()
    return {name: amounts for name, amounts in resources.items() if amounts}


def _probe(path: str, port: str, *, scheme: str = "HTTP", period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": port, "scheme": scheme},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _uid_of(deployment: Manifest | None) -> str | None:
    if deployment is None:
        return None
    metadata = deployment["spec"]["template"].get("metadata", {})
    uid = metadata.get("annotations", {}).get(ACCOUNT_UID)
    return None if uid is None else str(uid)

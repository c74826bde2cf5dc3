"""The llama-server Pod: a frozen base, and what its pool lays over it."""

from __future__ import annotations

from typing import Final

from puna.api.pool import Pool
from puna.core.naming import (
    BACKEND_KEY_DIGEST,
    BACKEND_KEY_MEMBER,
    BACKEND_KEY_NAME,
    COMPONENT_MODEL,
    endpoint_labels,
    endpoint_port,
)
from puna.core.plan import Manifest
from puna.core.pod_security import container_security, pod_ip, pod_security
from puna.endpoint.arguments import (
    BACKEND_KEY_MOUNT,
    literal,
    pool_arguments,
    server_arguments,
)
from puna.endpoint.effective import Effective
from puna.endpoint.model_volume import FETCH, model_volume
from puna.placement import container_resources, placement
from puna.settings import AcceleratorProfile, Settings

SERVER: Final = "llama-server"
"""Name of the serving container."""
LOAD_SECONDS: Final = 7200
"""Longest load of a model that the startup probe allows."""
DRAIN_NOTICE_SECONDS: Final = 3
"""Time for routers to stop sending before an idle server is believed."""


def base_pod_spec(effective: Effective, *, namespace: str, settings: Settings) -> Manifest:
    """Return the part of the Pod that is stored with its revision and does not follow upgrades."""
    port = endpoint_port(namespace, effective.name)
    volume = model_volume(effective.model, namespace=namespace, settings=settings)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": settings.termination_grace_seconds,
        "initContainers": [
            {
                "name": FETCH,
                "image": settings.fetch_image,
                "command": ["puna-fetch"],
                "args": [literal(argument) for argument in volume.request.to_args()],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [*volume.fetch_mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
            }
        ],
        "containers": [
            {
                "name": SERVER,
                "args": server_arguments(
                    server=effective.server,
                    chat_template=effective.prompt.chat_template,
                    name=effective.name,
                    port=port,
                    model=volume.path,
                    ping=settings.router.keep_alive_seconds,
                ),
                "env": [pod_ip()],
                "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
                "startupProbe": _health(period=1, failures=LOAD_SECONDS),
                "readinessProbe": _health(period=2, failures=3),
                "livenessProbe": {
                    "tcpSocket": {"port": "http"},
                    "periodSeconds": 10,
                    "timeoutSeconds": 5,
                    "failureThreshold": 6,
                },
                "lifecycle": {"preStop": {"exec": {"command": _drain(port, settings)}}},
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    *volume.server_mounts,
                    {"name": "backend-key", "mountPath": BACKEND_KEY_MOUNT, "readOnly": True},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                ],
            }
        ],
        "volumes": [
            *volume.volumes,
            {
                "name": "backend-key",
                "secret": {
                    "secretName": BACKEND_KEY_NAME,
                    "items": [{"key": BACKEND_KEY_MEMBER, "path": BACKEND_KEY_MEMBER}],
                },
            },
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def pod_template(
    base: Manifest,
    *,
    endpoint: str,
    process: str,
    threads: int | None,
    pool: Pool,
    profile: AcceleratorProfile,
    backend_key: str,
) -> Manifest:
    """Return the Pod template of one pool: the stored base with the pool's own fields on top."""
    labels = endpoint_labels(endpoint, COMPONENT_MODEL, pool=pool.name, process=process)
    server: Manifest = dict(base["containers"][0])
    server["image"] = profile.image
    server["args"] = server["args"] + pool_arguments(
        threads=threads, limits=pool.resources.limits, gpu_layers=profile.gpu_layers
    )
    resources = container_resources(profile, pool.resources, pool.accelerator_count)
    if resources:
        server["resources"] = resources
    spec: Manifest = base | {"containers": [server]} | placement(profile, pool.node_selector)
    spec["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector_labels(endpoint, pool.name, process)},
        }
    ]
    annotations = {BACKEND_KEY_DIGEST: backend_key}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def selector_labels(endpoint: str, pool: str, process: str) -> dict[str, str]:
    """Return the labels that tell the Pods of one Deployment from all others."""
    labels = endpoint_labels(endpoint, COMPONENT_MODEL, pool=pool, process=process)
    return {key: value for key, value in labels.items() if key.startswith("puna.dev/")}


def _health(*, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _drain(port: int, settings: Settings) -> list[str]:
    """Return a command that waits until no slot is busy: SIGTERM ends running streams.

    Where a node agent runs the Pod, the agent drains and leaves this out.
    """
    rounds = max(0, settings.termination_grace_seconds - 10 - DRAIN_NOTICE_SECONDS)
    key = f'Authorization: Bearer $(cat "{BACKEND_KEY_MOUNT}/{BACKEND_KEY_MEMBER}")'
    slots = f'curl -sf -m 2 -H "{key}" "http://$POD_IP:{port}/slots"'
    script = (
        f"sleep {DRAIN_NOTICE_SECONDS}; n=0; while [ $n -lt {rounds} ]; do "
        f"{slots} | grep -q '\"is_processing\": *true' || exit 0; sleep 1; n=$((n+1)); done"
    )
    return ["/bin/sh", "-c", script]

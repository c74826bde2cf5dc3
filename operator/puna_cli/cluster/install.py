"""Put what every cluster of ours has into a fresh API server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.manifests import access_rules, custom_resources, storage_class
from puna_cli.cluster.program import Record
from puna_cli.cluster.state import ClusterState
from puna_cli.cluster.wait import wait_until
from puna_cli.kubectl import Kubectl
from puna_cli.paths import ClusterPaths
from puna_cli.report import Step

SERVED_SECONDS = 30


def install(
    paths: ClusterPaths,
    state: ClusterState,
    kubectl: Path,
    records: Mapping[str, Record],
    step: Step,
) -> None:
    """Apply custom resources, access rules and the storage class; wait until they are served."""
    resources = custom_resources()
    step.note("applying")
    Kubectl(kubectl, paths.kubeconfig).apply([*resources, *access_rules(), storage_class()])
    with LocalApi(paths, state.server) as api:
        for resource in resources:
            spec = resource["spec"]
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            wait_until(
                partial(api.get, path, limit=1),
                what=f"waiting for {resource['metadata']['name']}",
                seconds=SERVED_SECONDS,
                paths=paths,
                records=records,
                suspects=("apiserver",),
                step=step,
            )

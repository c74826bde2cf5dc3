"""Pods and facts for tests of the node agent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from puna_node.admission import Policy
from puna_node.config import Profile
from puna_node.facts import ContainerFacts, Exit, PodFacts, Running
from puna_node.manifest import Manifest

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
IMAGE = "registry.test:5000/puna/llama-server"
POLICY = Policy(
    namespaces=(),
    host_paths=("/srv/models",),
    profiles=(
        Profile(image=IMAGE, run=("/bin/llama-server",), drain_slots=True),
        Profile(image="puna", command=("puna-fetch",), run=("/bin/python", "-m", "puna_fetch")),
        Profile(image="shell", run=("/bin/sh", "-c"), exec_probes=True),
    ),
    has_volume_root=False,
    tainted=False,
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def container(**fields: Any) -> Manifest:
    return {"name": "main", "image": f"{IMAGE}:1.2", "args": [], **fields}


def pod(*containers: Manifest, metadata: Manifest | None = None, **spec: Any) -> Manifest:
    return {
        "metadata": {"namespace": "default", "name": "pod", "uid": "u-1", **(metadata or {})},
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def deleted(manifest: Manifest, grace: int = 30) -> Manifest:
    metadata = {
        **manifest["metadata"],
        "deletionTimestamp": "2026-11-21T12:00:30Z",
        "deletionGracePeriodSeconds": grace,
    }
    return {**manifest, "metadata": metadata}


def facts(**containers: ContainerFacts) -> PodFacts:
    return PodFacts(address="127.77.0.1", started_at=NOW, prepared=True, containers=containers)


def running(attempts: int = 1, since: float = 0, **fields: Any) -> ContainerFacts:
    state = ContainerFacts(
        attempts=attempts, running=Running(attempts, 100 + attempts, after(since))
    )
    return replace(state, **fields)


def ended(
    code: int = 0, attempts: int = 1, at: float = 0, in_a_row: int = 0, **fields: Any
) -> ContainerFacts:
    how = Exit(
        attempt=attempts,
        code=code,
        signal=0,
        reason="Completed" if code == 0 else "Error",
        message="",
        started_at=NOW,
        finished_at=after(at),
    )
    state = ContainerFacts(attempts=attempts, exit=how, in_a_row=in_a_row)
    return replace(state, **fields)

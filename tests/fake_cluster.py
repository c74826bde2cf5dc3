"""A small pure cluster: an API server, its controllers, Pods and routers, for one endpoint.

Applying replaces what we own of an object and keeps the rest, as server-side apply does. Nothing
happens by itself: a test moves controllers, Pods, routers and the clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.core.naming import LABEL_POOL, LABEL_PROCESS, digest8
from puna.core.plan import Manifest, ObjectKey, Plan, key_of, prune
from puna.endpoint.golden import GoldenReport, GoldenRun, golden_run
from puna.endpoint.observed import ObservedEndpoint, RouterObservation
from puna.endpoint.plan import plan
from puna.endpoint.samples import Reading, plus
from puna.settings import Settings
from puna_router.config import (
    CONFIG_KEY,
    BackendState,
    EndpointConfig,
    EndpointPhase,
    EndpointState,
    config_digest,
)
from puna_router.samples import RevisionSamples
from tests.factories import NOW, backend_key, settings


@dataclass
class FakeCluster:
    """The world of one endpoint."""

    endpoint: LLMEndpoint
    presets: dict[str, Preset] = field(default_factory=dict)
    jobs: dict[str, TrainingJob] = field(default_factory=dict)
    """TrainingJobs by their names."""
    claims: dict[str, Manifest] = field(default_factory=dict)
    settings: Settings = field(default_factory=settings)
    now: datetime = NOW
    objects: dict[ObjectKey, Manifest] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)
    routers: dict[str, str | None] = field(default_factory=lambda: {"router-1": None})
    """Ready router Pods and the documents that they run."""
    unreachable: set[str] = field(default_factory=set)
    unread: str | None = None
    """What Prometheus has against telling what routers have counted."""
    refusing: set[str] = field(default_factory=set)
    """Routers that refuse every document but the one they run."""
    served: set[str] = field(default_factory=set)
    """Processes that have had a ready Pod."""
    in_flight: int = 0
    """Requests that run on each server, as routers tell."""
    readings: dict[str, Reading] = field(default_factory=dict)
    """What routers have counted."""
    serial: int = 0
    written: list[tuple[datetime, LLMEndpointStatus]] = field(default_factory=list)
    """Statuses that were stored, and when."""
    answers: Callable[[GoldenRun], GoldenReport | None] = lambda _: None
    """What has come of golden prompts that a plan's observation has asked."""

    # What the operator does.

    def observe(self, *, asked: bool = True) -> ObservedEndpoint:
        return ObservedEndpoint(
            children=tuple(self.objects.values()),
            pods=tuple(self.pods.values()),
            presets=self.presets,
            jobs=tuple(self.jobs.values()),
            claims=self.claims,
            routers=tuple(self._router(name, asked=asked) for name in self.routers),
            routers_asked=asked,
            unread=self.unread,
            backend_key=backend_key(),
            golden=self._golden(),
        )

    def _golden(self) -> GoldenReport | None:
        run = golden_run(
            self.endpoint,
            self.objects.values(),
            self.pods.values(),
            (),
            key="key",
            encrypted=False,
        )
        return None if run is None else self.answers(run)

    def plan(self, *, asked: bool = True) -> Plan[LLMEndpointStatus]:
        return plan(self.endpoint, self.observe(asked=asked), self.settings, self.now)

    def reconcile(
        self, *, asked: bool = True, only: AbstractSet[int] | None = None
    ) -> Plan[LLMEndpointStatus]:
        """Carry out one plan, or, as a crash would leave it, only some of its children.

        Revisions come first: where one of them is missing, so is all that follows.
        """
        made = self.plan(asked=asked)
        children = made.children or ()
        revisions = [item for item in children if item["kind"] == "ControllerRevision"]
        for index, manifest in enumerate(children):
            if only is None or index in only:
                self.apply(manifest)
            if (
                only is not None
                and index + 1 == len(revisions)
                and not set(range(index + 1)) <= only
            ):
                break
        if only is not None:
            return made
        if made.children is not None and not made.partial:
            for stale in prune(self.objects.values(), made.children):
                self.delete(key_of(stale))
        self.endpoint = self.endpoint.model_copy(update={"status": made.status})
        self.written.append((self.now, made.status))
        return made

    def edit(self, **spec: Any) -> None:
        """Change members of the spec."""
        document = self.endpoint.spec.to_dict() | spec
        metadata = self.endpoint.metadata
        self.endpoint = LLMEndpoint.model_validate(
            {
                "metadata": metadata.model_copy(
                    update={"generation": metadata.generation + 1}
                ).to_dict(),
                "spec": document,
                "status": self.endpoint.status.to_dict(),
            }
        )

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations `puna.dev/<name>` of the endpoint, or remove them."""
        metadata = self.endpoint.metadata
        given = {f"puna.dev/{name}": value for name, value in annotations.items()}
        kept = {name: value for name, value in metadata.annotations.items() if name not in given}
        added = {name: value for name, value in given.items() if value is not None}
        self.endpoint = self.endpoint.model_copy(
            update={"metadata": metadata.model_copy(update={"annotations": kept | added})}
        )

    # What the API server does.

    def apply(self, manifest: Manifest) -> None:
        """Store a manifest as JSON would carry it."""
        wanted: Manifest = json.loads(json.dumps(manifest))
        key = key_of(wanted)
        live = self.objects.get(key)
        if live is None:
            self.serial += 1
            metadata = {
                "uid": f"uid-{self.serial}",
                "creationTimestamp": (self.now + timedelta(seconds=self.serial)).isoformat(),
                "generation": 1,
            }
            self.objects[key] = wanted | {"metadata": metadata | wanted["metadata"]}
            return
        if live["kind"] == "ControllerRevision":
            assert live["data"] == wanted["data"], "the API server refuses to change a revision"
        if live["kind"] == "Deployment":
            assert live["spec"]["selector"] == wanted["spec"]["selector"], "selectors are immutable"
        kept = {name: live["metadata"][name] for name in ("uid", "creationTimestamp", "generation")}
        if live.get("spec") != wanted.get("spec"):
            kept["generation"] += 1
        status = {"status": live["status"]} if "status" in live else {}
        self.objects[key] = wanted | {"metadata": kept | wanted["metadata"]} | status

    def delete(self, key: ObjectKey) -> None:
        """Remove an object; the garbage collector ends the Pods of a Deployment."""
        live = self.objects.pop(key)
        if live["kind"] == "Deployment":
            for name in self._pods_of(live):
                self._end(name)

    # What controllers, nodes and routers do.

    def run_controllers(self) -> None:
        """Let every Deployment have its Pods; those of another template are replaced at once."""
        for key, live in list(self.objects.items()):
            if live["kind"] != "Deployment":
                continue
            template = digest8(live["spec"]["template"])
            names = self._pods_of(live)
            for name in names:
                if self.pods[name]["metadata"]["annotations"]["template"] != template:
                    self._end(name)
            staying = [
                name for name in names if "deletionTimestamp" not in self.pods[name]["metadata"]
            ]
            wanted = live["spec"]["replicas"]
            for name in staying[wanted:]:
                self._end(name)
            for _ in range(wanted - len(staying)):
                self._start(live, template)
            status = {
                "observedGeneration": live["metadata"]["generation"],
                "updatedReplicas": wanted,
                "conditions": self._progress(live, template),
            }
            self.objects[key] = live | {"status": status}

    def set_ready(self, name: str, *, ready: bool = True) -> None:
        """Let a Pod become ready or not."""
        pod = self.pods[name]
        if "deletionTimestamp" in pod["metadata"]:
            return
        if ready:
            self.served.add(pod["metadata"]["labels"][LABEL_PROCESS])
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        self.pods[name] = pod | {"status": {"phase": "Running", "conditions": [condition]}}

    def remove_ended_pods(self) -> None:
        """Let Pods that are being deleted be gone."""
        self.pods = {
            name: pod
            for name, pod in self.pods.items()
            if "deletionTimestamp" not in pod["metadata"]
        }

    def acknowledge(self, router: str) -> None:
        """Let a router run the newest document, unless it refuses that."""
        if router not in self.refusing:
            self.routers[router] = self.document()

    def settle(self, *, passes: int = 40) -> None:
        """Let everything happen in turn until nothing changes any more."""
        for _ in range(passes):
            before = self.state()
            self.reconcile()
            self.run_controllers()
            self.remove_ended_pods()
            for name in self.pods:
                self.set_ready(name)
            for router in self.routers:
                self.acknowledge(router)
            self.now += timedelta(seconds=1)
            if self.state() == before and not self._is_announced():
                return
        raise AssertionError(f"not at rest after {passes} passes")

    def _is_announced(self) -> bool:
        """Whether a Replace waits for its time."""
        status = self.endpoint.status
        found = status.replacement
        return found is not None and found.revision != status.stable_revision

    def live_through(self) -> None:
        """Let everything happen, holds of a canary too, until it is over or waits for promotion."""
        self.settle()
        while (canary := self.endpoint.status.canary) is not None and canary.hold_until is not None:
            self.now = max(self.now, canary.hold_until)
            self.settle()

    def count(self, fresh: Mapping[str, RevisionSamples], *, router: str = "router-1") -> None:
        """Let a router count more, of revisions by name."""
        old = self.readings.get(router) or Reading(router, self.now - timedelta(days=1), {})
        revisions = {
            name: plus(old.of(name), fresh.get(name, RevisionSamples()))
            for name in {*old.revisions, *fresh}
        }
        self.readings[router] = replace(old, revisions=revisions)

    # What a test looks at.

    def state(self) -> tuple[object, ...]:
        return (
            dict(self.objects),
            dict(self.pods),
            dict(self.routers),
            self.endpoint.status,
        )

    def document(self) -> str | None:
        """The endpoint's document as stored."""
        for live in self.objects.values():
            if live["kind"] == "ConfigMap":
                document: str = live["data"][CONFIG_KEY]
                return document
        return None

    def config(self) -> EndpointConfig | None:
        document = self.document()
        return None if document is None else EndpointConfig.model_validate_json(document)

    def of_kind(self, kind: str) -> list[Manifest]:
        return [live for live in self.objects.values() if live["kind"] == kind]

    def weights(self) -> dict[str, int]:
        """Shares of the requests by revision, of those that get some."""
        config = self.config()
        shares = config.revisions if config is not None else ()
        return {item.name: item.weight for item in shares if item.weight}

    def deployed(self) -> set[str]:
        """Processes that have a Deployment."""
        return {live["metadata"]["labels"][LABEL_PROCESS] for live in self.of_kind("Deployment")}

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        for condition in self.endpoint.status.conditions:
            if condition.type == kind:
                return condition.status, condition.reason
        raise LookupError(kind)

    def _router(self, name: str, *, asked: bool) -> RouterObservation:
        document = self.routers[name]
        reachable = name not in self.unreachable
        reading = self.readings.get(name) if asked and reachable else None
        if not asked or not reachable or document is None:
            return RouterObservation(pod=name, reachable=reachable, reading=reading)
        config = EndpointConfig.model_validate_json(document)
        backends = tuple(
            BackendState(
                address="10.0.0.1",
                port=config.port,
                process=pod["metadata"]["labels"][LABEL_PROCESS],
                pod=pod["metadata"]["name"],
                healthy=True,
                in_flight=self.in_flight,
            )
            for pod in self.pods.values()
            if any(item["status"] == "True" for item in pod["status"]["conditions"])
        )
        refuses = name in self.refusing and document != self.document()
        state = EndpointState(
            digest=config_digest(document),
            phase=EndpointPhase.REJECTED if refuses else EndpointPhase.APPLIED,
            message="unknown member" if refuses else None,
            backends=backends,
        )
        return RouterObservation(pod=name, reachable=True, state=state, reading=reading)

    def _progress(self, deployment: Manifest, template: str) -> list[Manifest]:
        """Condition Progressing: complete once all Pods of a template have been ready."""
        pods = [self.pods[name] for name in self._pods_of(deployment)]
        current = [pod for pod in pods if pod["metadata"]["annotations"]["template"] == template]
        before = deployment.get("status", {}).get("conditions", [])
        if before and before[0]["message"] == template:
            return list(before)
        if not all(item["status"]["conditions"][0]["status"] == "True" for item in current):
            return []
        reason = {"status": "True", "reason": "NewReplicaSetAvailable", "message": template}
        return [{"type": "Progressing", **reason}]

    def _pods_of(self, deployment: Manifest) -> list[str]:
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        return [
            name for name, pod in self.pods.items() if selector <= pod["metadata"]["labels"].items()
        ]

    def _start(self, deployment: Manifest, template: str) -> None:
        self.serial += 1
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        name = f"{deployment['metadata']['name']}-{self.serial}"
        self.pods[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": deployment["metadata"]["namespace"],
                "labels": labels,
                "annotations": {"template": template},
            },
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
        }

    def _end(self, name: str) -> None:
        pod = self.pods[name]
        metadata = pod["metadata"] | {"deletionTimestamp": self.now.isoformat()}
        self.pods[name] = pod | {"metadata": metadata}


def pools_of(deployments: Iterable[Manifest]) -> set[str]:
    return {item["metadata"]["labels"][LABEL_POOL] for item in deployments}


def restarted(cluster: FakeCluster, **overrides: Any) -> FakeCluster:
    """The same world under another operator."""
    return replace(cluster, settings=replace(cluster.settings, **overrides))

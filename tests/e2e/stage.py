"""A stage: one namespace of a whole cluster, and what a user can do in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster import LocalCluster, eventually
from tests.e2e.models import ModelFile, Models
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, Objects, condition, is_true

GROUP = "puna.dev/v1alpha1"
READY_SECONDS = 60.0
UNEXPECTED_SECONDS = 30.0
"""Time after which it is told what Pods without requests are still there for."""
ENDING_SECONDS = 90.0
"""A server may take the 60 s of grace that it has."""
DELETION_MEMBERS = (
    "name",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace with its router."""

    cluster: LocalCluster
    objects: Objects
    models: Models
    namespace: str

    @property
    def url(self) -> str:
        """Base of the namespace's router, without /v1."""
        return f"{self.cluster.front}/namespaces/{self.namespace}"

    def kubectl(self, *args: str, seconds: float = 60) -> str:
        """Output of kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *args, seconds=seconds)

    def manifest(self, kind: str, name: str, **members: Any) -> Manifest:
        """An object of this namespace."""
        version = {
            "LLMEndpoint": GROUP,
            "Preset": GROUP,
            "NetworkPolicy": "networking.k8s.io/v1",
        }.get(kind, "v1")
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **members}

    def endpoint(
        self,
        name: str = "chat",
        *,
        model: ModelFile | None = None,
        preset: str | None = None,
        presets: Sequence[str] = (),
        **spec: Any,
    ) -> Manifest:
        """An LLMEndpoint on CPU that serves the tiny model."""
        content: Manifest = {"model": (model or self.models.tiny).source, "accelerator": "cpu"}
        if preset is not None:
            content["presetRef"] = {"name": preset}
        if presets:
            content["presets"] = list(presets)
        content.update(spec)
        return self.manifest("LLMEndpoint", name, spec=content)

    def preset(
        self,
        name: str,
        *,
        server: Mapping[str, Any] | None = None,
        forced: bool = False,
        **sampling: Any,
    ) -> Manifest:
        """A Preset; `sampling` in the spelling of its fields."""
        spec: Manifest = {"sampling": sampling, "precedence": "Forced" if forced else "Default"}
        if server is not None:
            spec["server"] = dict(server)
        return self.manifest("Preset", name, spec=spec)

    def apply(self, *manifests: Manifest) -> None:
        """Apply objects of this namespace."""
        self.objects.apply(*manifests)

    def find(self, name: str = "chat") -> Manifest | None:
        """An LLMEndpoint as it is."""
        return self.objects.get("LLMEndpoint", self.namespace, name)

    def patch(self, name: str = "chat", **spec: Any) -> None:
        """Change members of an LLMEndpoint's spec."""
        self.objects.patch("LLMEndpoint", self.namespace, name, {"spec": spec})

    def wait_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until LLMEndpoints are Ready as their present spec says."""
        for name in names or ("chat",):
            try:
                eventually(lambda n=name: is_true(self.find(n), "Ready"), seconds=seconds)  # type: ignore[misc]
            except AssertionError:
                raise AssertionError(f"{name} is not Ready:\n{self.story(name)}") from None

    def wait_condition(
        self, name: str, kind: str, reason: str, *, seconds: float = READY_SECONDS
    ) -> Manifest:
        """Wait until a condition is False for a reason; returns the condition."""

        def found() -> Manifest | None:
            item = condition(self.find(name), kind)
            matches = item.get("status") == "False" and item.get("reason") == reason
            return item if matches else None

        try:
            return eventually(found, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"no {kind}=False {reason}:\n{self.story(name)}") from None

    def story(self, name: str) -> str:
        """What the cluster says of an LLMEndpoint and its Pods."""
        endpoint = self.find(name)
        conditions = (endpoint or {}).get("status", {}).get("conditions", [])
        lines = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions]
        for pod in self.objects.all("Pod", self.namespace):
            status = pod.get("status", {})
            states = [
                {entry["name"]: entry.get("state")}
                for group in ("initContainerStatuses", "containerStatuses")
                for entry in status.get(group, ())
            ]
            lines.append(f"{pod['metadata']['name']} {status.get('phase')} {states}")
        log = self.cluster.paths.log("operator").read_text(encoding="utf-8").splitlines()
        ours = [line for line in log if f" {self.namespace}/" in line]
        return "\n".join([*lines, *ours[-15:]])

    def pods(self, endpoint: str = "chat") -> list[Manifest]:
        """llama-server Pods of an LLMEndpoint that are not being deleted."""
        selector = f"puna.dev/endpoint={endpoint},puna.dev/process"
        found = self.objects.all("Pod", self.namespace, selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def router_pods(self) -> list[Manifest]:
        """Pods of the namespace's router that are not being deleted."""
        found = self.objects.all("Pod", self.namespace, "app.kubernetes.io/component=router")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ask(self, model: str = "chat", *, path: str = "/v1/completions", **body: Any) -> Manifest:
        """Answer of a completion, which has to succeed."""
        content = {"model": model, "prompt": "hello", "max_tokens": 4, **body}
        answer = httpx.post(f"{self.url}{path}", json=content, timeout=30, trust_env=False)
        assert answer.status_code == httpx.codes.OK, answer.text
        document: Manifest = answer.json()
        return document

    def read(self, path: str) -> Any:
        """JSON of a GET request to the router, which has to succeed."""
        answer = httpx.get(f"{self.url}{path}", timeout=10, trust_env=False)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def backend_key(self) -> str:
        """The key that the llama-servers of the namespace require."""
        secret = self.kubectl("get", "secret", "puna-backend-key", "-o=json")
        import base64  # noqa: PLC0415

        return base64.b64decode(json.loads(secret)["data"]["key"]).decode()

    def delete_everything(self) -> None:
        """Delete the LLMEndpoints and wait until no Pod is left."""
        for endpoint in self.objects.all("LLMEndpoint", self.namespace):
            self.objects.delete("LLMEndpoint", self.namespace, endpoint["metadata"]["name"])
        try:
            eventually(self._has_no_pods, seconds=UNEXPECTED_SECONDS)
        except AssertionError:
            note(f"Pods of {self.namespace} take long to go:\n{self.leftovers()}")
        try:
            eventually(self._has_no_pods, seconds=ENDING_SECONDS)
        except AssertionError:
            raise AssertionError(f"Pods are left:\n{self.leftovers()}") from None

    def _has_no_pods(self) -> bool:
        return not self.objects.all("Pod", self.namespace)

    def leftovers(self) -> str:
        """What is left of the namespace, and what the programs that delete it said."""
        lines = []
        for kind in ("LLMEndpoint", "Deployment", "ReplicaSet", "Pod"):
            for left in self.objects.all(kind, self.namespace):
                shown = {key: left["metadata"].get(key) for key in DELETION_MEMBERS}
                lines.append(f"{kind} {json.dumps(shown)} {json.dumps(left.get('status'))}")
        for program in ("agent", "controller-manager", "operator"):
            log = self.cluster.paths.log(program)
            if log.exists():
                said = log.read_text(encoding="utf-8").splitlines()
                lines += [f"{program}: {line}" for line in said if self.namespace in line][-30:]
        return "\n".join(lines)

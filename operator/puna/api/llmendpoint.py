"""The LLMEndpoint resource: one model, served by one or more pools of llama-server."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from puna.api.access import Access
from puna.api.analysis import CanaryVerdict
from puna.api.conditions import Condition
from puna.api.lineage import ModelLineage
from puna.api.replacement import ReplacementStatus
from puna.api.resource import (
    DNS_1035,
    LABEL_VALUE,
    Column,
    LocalObjectReference,
    Model,
    ObjectName,
    Quantity,
    Resource,
    Rule,
)
from puna.api.rollout import Rollout
from puna.api.routing import ExternalEndpoint, Routing
from puna.api.selector import LabelSelector
from puna_trainer.config.output import ArtifactType

Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]],
    Field(max_length=32),
]


class Accelerator(StrEnum):
    """Kind of hardware; it chooses image, arguments, resources and nodes."""

    CPU = "cpu"
    METAL = "metal"
    CUDA = "cuda"


class VolumeClaimReference(Model):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: ObjectName
    """Name of the claim."""


class ModelCache(Model):
    """Where fetched files are kept."""

    persistent_volume_claim: VolumeClaimReference
    """Claim that all Pods of the endpoint share; it needs an access mode that allows this."""


class TrainingJobReference(Model):
    """A model file that a TrainingJob of the same namespace made."""

    name: ObjectName | None = None
    """Name of the TrainingJob; one that is made again under it is a newer one."""
    selector: LabelSelector | None = None
    """Instead of a name: the newest of all TrainingJobs with such labels that is complete and has
    the file."""
    artifact: ArtifactType
    """Kind of the file; one of `export.types` of the TrainingJob."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.name) != has(self.selector)",
            "set either name or selector",
            ".name",
        ),
        Rule(
            "self.artifact != 'safetensors'",
            "llama-server reads GGUF; name one of the other types",
            ".artifact",
        ),
    )


class ModelSource(Model):
    """One GGUF file: a uri and its digest, or the TrainingJob that makes it."""

    uri: Annotated[
        str, Field(max_length=2048, pattern=r"^(file:///|pvc://|https?://|hf://)[^\s?#]+(\?\S*)?$")
    ] = ""
    """file:///path, pvc://claim/path, http(s)://host/path or hf://organization/repository/file."""
    training_job_ref: TrainingJobReference | None = None
    """Instead of a uri: the verified file of the newest TrainingJob, whenever there is a newer one.

    A TrainingJob that goes, runs again or is not complete yet leaves what is served alone.
    """
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] | None = None
    """SHA-256 of the file in hex, checked before llama-server starts.

    Required for http, https and hf.
    """
    credentials_secret_ref: LocalObjectReference | None = None
    """Secret with `token`, or `username` and `password`, for the source."""
    ca_secret_ref: LocalObjectReference | None = None
    """Secret with `ca.crt`, a PEM bundle trusted beside the system's."""
    cache: ModelCache | None = None
    """Where to keep the file.

    By default a folder of the Pod, or of the node where the operator's settings name one.
    """

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.uri) || has(self.trainingJobRef)",
            "set uri or trainingJobRef",
            ".uri",
            "FieldValueRequired",
        ),
        Rule(
            "!has(self.trainingJobRef) || !(has(self.uri) || has(self.sha256) || "
            "has(self.credentialsSecretRef) || has(self.caSecretRef) || has(self.cache))",
            "says where the file lies by itself; remove uri, sha256, credentialsSecretRef, "
            "caSecretRef and cache",
            ".trainingJobRef",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.uri) || has(self.sha256) "
            "|| self.uri.startsWith('file:') || self.uri.startsWith('pvc:')",
            "required for http, https and hf sources",
            ".sha256",
            "FieldValueRequired",
        ),
        Rule(
            "!has(self.cache) || !has(self.uri) "
            "|| !(self.uri.startsWith('file:') || self.uri.startsWith('pvc:'))",
            "a file:// or pvc:// model is served from where it lies",
            ".cache",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.uri) || !self.uri.startsWith('pvc://') || "
            "self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
            "expected pvc://<claim>/<path>",
            ".uri",
        ),
        Rule(
            "!has(self.uri) || (!self.uri.contains('/../') && !self.uri.endsWith('/..'))",
            "the path must not contain '..'",
            ".uri",
        ),
    )


class Resources(Model):
    """Compute resources of one llama-server."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What the scheduler sets aside."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What a server may use at most."""


class Pool(Model):
    """Servers on one kind of hardware."""

    name: Annotated[str, Field(pattern=DNS_1035, min_length=1, max_length=12)]
    """Name of the pool, part of its Pods' names."""
    accelerator: Accelerator
    """Kind of hardware."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Servers in this pool."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Accelerators of each server (cuda, metal)."""
    resources: Resources = Resources()
    """Compute resources of each server."""
    node_selector: Labels = Field(default_factory=dict)
    """Further labels that a node must have."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.accelerator != 'cpu' || !has(self.acceleratorCount) "
            "|| self.acceleratorCount == 1",
            "a cpu pool has none",
            ".acceleratorCount",
        ),
    )


class LLMEndpointSpec(Model):
    """What is to be served, by what, and how a change takes over."""

    model: ModelSource
    """The model."""
    preset_ref: LocalObjectReference | None = None
    """Preset with the endpoint's own sampling, prompt and server settings."""
    presets: Annotated[
        tuple[ObjectName, ...], Field(max_length=16, json_schema_extra={"listType": "set"})
    ] = ()
    """Presets that a request may choose: `model: <endpoint>:<preset>`, or header x-puna-preset."""
    accelerator: Accelerator | None = None
    """Shorthand for one pool named `default`, together with the four fields below."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Servers of the shorthand's pool; 1 if absent. `kubectl scale` sets it."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] | None = None
    """Accelerators of each server of the shorthand's pool."""
    resources: Resources | None = None
    """Compute resources of each server of the shorthand's pool."""
    node_selector: Labels | None = None
    """Further labels that a node of the shorthand's pool must have."""
    pools: Annotated[
        tuple[Pool, ...], Field(max_length=8, json_schema_extra={"listMapKeys": ["name"]})
    ] = ()
    """Instead of the shorthand: several kinds of hardware, one Deployment each."""
    external_endpoints: Annotated[
        tuple[ExternalEndpoint, ...],
        Field(max_length=16, json_schema_extra={"listMapKeys": ["name"]}),
    ] = ()
    """Servers outside the cluster that answer too, whatever the revision."""
    routing: Routing = Routing()
    """How the router treats requests; a change restarts nothing."""
    rollout: Rollout = Rollout()
    """How a change takes over."""
    revision_history_limit: Annotated[int, Field(ge=0, le=10)] | None = None
    """Retired revisions that are kept, to go back to; by default as the operator's settings say."""
    access: Access | None = None
    """Who may use the endpoint; if absent, everybody who reaches the router."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.accelerator) || (has(self.pools) && size(self.pools) > 0)",
            "set accelerator (one pool) or pools",
            ".accelerator",
            "FieldValueRequired",
        ),
        Rule(
            "!(has(self.pools) && size(self.pools) > 0 && (has(self.accelerator) "
            "|| has(self.acceleratorCount) || has(self.resources) || has(self.nodeSelector)))",
            "excludes accelerator, acceleratorCount, resources and nodeSelector; "
            "set them in each pool",
            ".pools",
            "FieldValueForbidden",
        ),
        Rule(
            "!(has(self.pools) && size(self.pools) > 0 && has(self.replicas))",
            "this endpoint has pools; edit spec.pools[*].replicas instead",
            ".replicas",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.accelerator) || self.accelerator != 'cpu' "
            "|| !has(self.acceleratorCount) || self.acceleratorCount == 1",
            "a cpu pool has none",
            ".acceleratorCount",
        ),
        Rule(
            "!has(self.rollout.canary) || self.rollout.canary.stickiness != 'Key' "
            "|| has(self.access)",
            "Key needs spec.access: clients are told by their API keys",
            ".rollout.canary.stickiness",
        ),
        Rule(
            "!has(self.rollout.canary) || !has(self.rollout.canary.analysis) "
            "|| !has(self.rollout.canary.analysis.evaluation) || has(self.model.trainingJobRef)",
            "only a TrainingJob's model has scores; set spec.model.trainingJobRef",
            ".rollout.canary.analysis.evaluation",
            "FieldValueForbidden",
        ),
    )


class PoolStatus(Model):
    """Observed servers of one pool."""

    name: str
    """Name of the pool."""
    accelerator: Accelerator
    """Kind of hardware."""
    replicas: int = 0
    """Pods that exist, of all revisions."""
    ready_replicas: int = 0
    """Pods that are ready, of all revisions."""


class FetchStatus(Model):
    """How far a running fetch of the model is; absent when none runs."""

    stage: str
    """Waiting, Downloading or Verifying."""
    completed_bytes: int = 0
    """Bytes done."""
    total_bytes: int | None = None
    """Bytes in all, once known."""
    bytes_per_second: int | None = None
    """Speed."""
    message: str | None = None
    """Why the source is being asked again, if it is."""
    pod: str
    """The Pod that fetches (the slowest, if several do)."""


class RevisionRole(StrEnum):
    """Part that a revision plays."""

    STABLE = "Stable"
    """Users are served by it."""
    CANDIDATE = "Candidate"
    """It is what the spec means, and is to take over unless it was aborted or failed."""
    RETIRED = "Retired"
    """The spec meant it before."""


class Outcome(StrEnum):
    """How a canary ended that did not take over."""

    ABORTED = "Aborted"
    """It was aborted; it gets no requests until the spec has meant another revision."""
    FAILED = "Failed"
    """What was asked of it was not met; it gets no requests until the spec has meant another
    revision."""


class CanaryStatus(Model):
    """A revision that gets a share of the requests; absent while there is none."""

    revision: str
    """Name of the revision."""
    weight: int
    """Percent of the requests that it gets."""
    step: int
    """Number of its step, counted from 1; 0 while its servers start."""
    steps: int
    """How many steps there are."""
    started_at: datetime | None = None
    """When the step began."""
    hold_until: datetime | None = None
    """When the step's hold is over; absent where it waits for promotion."""
    verdict: CanaryVerdict | None = None
    """What was measured of it, as far as that is asked for."""


class RollbackStatus(Model):
    """A revision that serves, or is to serve, instead of the one that the spec means."""

    revision: str
    """Name of the revision."""
    instead_of: str
    """The revision that the spec means."""


class RevisionStatus(Model):
    """One stored revision."""

    name: str
    """Eight hex digits over everything that changes answers or processes."""
    model: str
    """Uri of its model."""
    preset: str | None = None
    """Its preset."""
    role: RevisionRole
    """Part it plays."""
    outcome: Outcome | None = None
    """How its canary ended, if it did not take over."""
    verdict: str | None = None
    """What it failed by: the arithmetic of the metric that decided."""
    created_at: datetime | None = None
    """When it was stored."""
    promoted_at: datetime | None = None
    """When it took over from another one."""
    lineage: ModelLineage | None = None
    """Where its model comes from, if a TrainingJob made it."""


class Summary(Model):
    """Texts for the columns of `kubectl get`, derived from the rest of the status."""

    ready: str = ""
    """Ready and wanted servers, for example 2/2."""
    model: str = ""
    """File name of the stable revision's model."""
    pools: str = ""
    """Pools with their ready and wanted servers."""
    rollout: str = ""
    """What is being rolled out."""


class LLMEndpointStatus(Model):
    """What is observed of an LLMEndpoint."""

    observed_generation: int = 0
    """Generation of the spec that this speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra={"listMapKeys": ["type"]})
    ] = ()
    """Accepted, ResolvedRefs, ModelReady, Available, Progressing, Ready."""
    replicas: int = 0
    """Pods that exist, of all revisions."""
    ready_replicas: int = 0
    """Pods that are ready, of all revisions."""
    selector: str = ""
    """Label selector of the Pods, for the scale subresource."""
    url: str = ""
    """Base url for OpenAI clients."""
    stable_revision: str | None = None
    """Revision that users are served by."""
    canary: CanaryStatus | None = None
    """Revision that gets a share of the requests."""
    replacement: ReplacementStatus | None = None
    """Replace that is about to begin, or by which the stable revision took over."""
    rollback: RollbackStatus | None = None
    """The order to roll back that is in force."""
    routing: Routing | None = None
    """Routing in force: the spec's values and the operator's defaults."""
    fetch: FetchStatus | None = None
    """Progress of the model's fetch."""
    pools: Annotated[
        tuple[PoolStatus, ...], Field(max_length=8, json_schema_extra={"listMapKeys": ["name"]})
    ] = ()
    """Servers by pool."""
    revisions: Annotated[
        tuple[RevisionStatus, ...],
        Field(max_length=16, json_schema_extra={"listMapKeys": ["name"]}),
    ] = ()
    """Stored revisions, newest first."""
    summary: Summary = Summary()
    """Texts for `kubectl get`."""


class LLMEndpoint(Resource):
    """A local language model behind the namespace's router, served by llama-server."""

    kind: ClassVar[str] = "LLMEndpoint"
    plural: ClassVar[str] = "llmendpoints"
    short_names: ClassVar[tuple[str, ...]] = ("llme",)
    scale: ClassVar[tuple[str, str, str] | None] = (
        ".spec.replicas",
        ".status.replicas",
        ".status.selector",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Ready", ".status.summary.ready"),
        Column("Model", ".status.summary.model"),
        Column("Pools", ".status.summary.pools"),
        Column("Rollout", ".status.summary.rollout"),
        Column("URL", ".status.url"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Revision", ".status.stableRevision", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') "
            "&& size(self.metadata.name) <= 40",
            "children are named after an LLMEndpoint; use at most 40 lower case "
            "letters, digits and '-', beginning with a letter",
            ".metadata.name",
        ),
        Rule(
            "self.metadata.name != 'puna-router'",
            "puna-router is the namespace's router",
            ".metadata.name",
        ),
    )

    spec: LLMEndpointSpec
    status: LLMEndpointStatus = LLMEndpointStatus()

    def owner_reference(self) -> dict[str, Any]:
        """Return the controller reference that children carry."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

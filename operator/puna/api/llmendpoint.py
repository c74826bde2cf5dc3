"""The LLMEndpoint resource: one model, served by one or more pools of llama-server."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from puna.api.access import Access
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.model_source import ModelSource
from puna.api.pool import Accelerator, Labels, Pool, Resources
from puna.api.resource import Column, LocalObjectReference, Model, ObjectName, Resource, Rule
from puna.api.rollout import Rollout
from puna.api.routing import ExternalEndpoint, Routing


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

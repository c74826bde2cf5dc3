"""The TrainingJob resource: a run of the trainer, from data to verified model files.

What is trained, and how, is said in the trainer's own models, as `run.json` holds them; beside them
stands what Kubernetes has to know.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from puna.api.model_source import VolumeClaimReference
from puna.api.pool import Accelerator, Labels, Resources
from puna.api.resource import (
    Column,
    LocalObjectReference,
    Model,
    ObjectName,
    Quantity,
    Resource,
    Rule,
)
from puna.api.training_rules import SPEC_RULES
from puna.api.training_status import TrainingJobStatus
from puna_trainer.config.dataset import Dataset, Preparation
from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.model import Model as TrainedModel
from puna_trainer.config.output import Checkpoints, Evaluation, Export, Stage
from puna_trainer.config.run import Task

MUTABLE: Final = frozenset({"suspend", "active_deadline_seconds", "ttl_seconds_after_finished"})
"""Fields of the spec that may change: none of them changes what is trained."""


class TrainingDataset(Dataset):
    """Data to learn from, and who may read it."""

    credentials_secret_ref: LocalObjectReference | None = None
    """Secret with `token` (hf, http), `username` and `password` (http), or `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY` and, if any, `AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL`
    (s3), for dataset, model and upload."""


class AccessMode(StrEnum):
    """Who may mount a volume at once."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class WhenDeleted(StrEnum):
    """What becomes of a volume when its TrainingJob is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class VolumeClaimTemplate(Model):
    """A PersistentVolumeClaim that the operator makes."""

    size: Quantity
    """Room for checkpoints and files, for example 20Gi."""
    storage_class_name: ObjectName | None = None
    """StorageClass that the volume comes from; the cluster's default if absent."""
    access_modes: Annotated[
        tuple[AccessMode, ...],
        Field(min_length=1, max_length=3, json_schema_extra={"listType": "set"}),
    ] = (AccessMode.READ_WRITE_ONCE,)
    """How the volume may be mounted; several nodes need ReadWriteMany."""
    when_deleted: WhenDeleted = WhenDeleted.RETAIN
    """What becomes of the claim when the TrainingJob is deleted, by its TTL too: Retain keeps it,
    and a TrainingJob of the same name goes on with it; Delete deletes it with all files."""


class Output(Model):
    """Where everything is written that a run leaves behind."""

    persistent_volume_claim: VolumeClaimReference | None = None
    """Claim that checkpoints and files are written to; it stays when the TrainingJob goes. With
    `nodes` above 1 it needs an access mode that lets all of them write."""
    volume_claim_template: VolumeClaimTemplate | None = None
    """Claim `<name>-output` that the operator makes, instead of one that is there."""
    path: (
        Annotated[
            str,
            Field(
                max_length=256,
                pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*(/[A-Za-z0-9][-A-Za-z0-9_.]*)*$",
            ),
        ]
        | None
    ) = None
    """Folder in the claim, the TrainingJob's name if absent. A run goes on from what it finds
    there."""
    upload: Annotated[str, Field(max_length=2048, pattern=r"^s3://[^\s?#]+$")] | None = None
    """Folder that artifacts are copied to in the end: s3://bucket/path."""


class TrainingJobSpec(Model):
    """What is trained, on what, how, and where."""

    task: Task
    """What the model is trained for."""
    model: TrainedModel
    """The network."""
    dataset: TrainingDataset
    """Data to learn from."""
    preparation: Preparation | None = None
    """What is done to texts first (LanguageModel)."""
    stages: Annotated[tuple[Stage, ...], Field(max_length=16)] = ()
    """Stages to run, in order; all of the task's if empty."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """How the network learns."""
    checkpoint: Checkpoints = Checkpoints()
    """When the state is kept."""
    evaluation: Evaluation = Evaluation()
    """What is measured in the end."""
    export: Export = Export()
    """Files that are written in the end."""
    output: Output
    """Where everything is written."""
    accelerator: Accelerator
    """Kind of hardware that computes."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Accelerators of each node (cuda); one process runs for each."""
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Pods that train together (cpu, cuda)."""
    resources: Resources = Resources()
    """Compute resources of each Pod."""
    node_selector: Labels = Field(default_factory=dict)
    """Further labels that a node must have."""
    backoff_limit: Annotated[int, Field(ge=0, le=20)] = 3
    """Retries after failures that may not come again. Wrong configuration or data and errors of
    code are not retried; what a disruption of a node or a deletion ended does not count."""
    suspend: bool = False
    """Whether the run pauses: its Pods save and end, and go on from there."""
    queue_name: ObjectName | None = None
    """LocalQueue of Kueue, which then decides when the run may use the cluster."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Time that the run may take, suspensions not counted."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Time after its end when the TrainingJob is deleted; never if absent. The output volume is
    kept, unless `output.volumeClaimTemplate.whenDeleted` is Delete."""

    cel_rules: ClassVar[tuple[Rule, ...]] = SPEC_RULES


class TrainingJob(Resource):
    """A training run that ends in verified model files."""

    kind: ClassVar[str] = "TrainingJob"
    plural: ClassVar[str] = "trainingjobs"
    short_names: ClassVar[tuple[str, ...]] = ("tj",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Stage", ".status.summary.stage"),
        Column("Epoch", ".status.summary.epoch"),
        Column("Step", ".status.summary.step"),
        Column("Loss", ".status.summary.loss"),
        Column("Metric", ".status.summary.metric"),
        Column("ETA", ".status.summary.eta"),
        Column("Retries", ".status.retries.counted", "integer", priority=1),
        Column("Updated", ".status.progress.updatedAt", "date", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') "
            "&& size(self.metadata.name) <= 40",
            "children are named after a TrainingJob; use at most 40 lower case "
            "letters, digits and '-', beginning with a letter",
            ".metadata.name",
        ),
    )

    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()

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

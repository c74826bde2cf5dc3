"""Where a model comes from."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import LocalObjectReference, Model, ObjectName, Rule
from puna.api.selector import LabelSelector
from puna_trainer.config.output import ArtifactType


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

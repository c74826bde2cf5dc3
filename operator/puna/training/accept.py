"""Acceptance: why a run cannot be started, as a chain of named checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from puna.api.reasons import Reason
from puna.api.trainingjob import TrainingJob, TrainingJobSpec
from puna.core.addresses import folder_of, refused_host
from puna.core.findings import Check, Finding
from puna.placement import contradiction
from puna.settings import Settings
from puna.training.memory import too_small
from puna.training.observed import ObservedTraining
from puna.training.processes import processes_per_node
from puna.training.run_config import run_of
from puna.training.volumes import claim_names
from puna_trainer.config.output import StageName
from puna_trainer.config.refusals import refusals


@dataclass(frozen=True, slots=True)
class AcceptInput:
    """What the checks look at."""

    job: TrainingJob
    observed: ObservedTraining
    settings: Settings


def secret_names(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Return the Secrets that a spec names."""
    ref = spec.dataset.credentials_secret_ref
    return () if ref is None else (ref.name,)


def trainer_takes_it(value: AcceptInput) -> Finding | None:
    """Refuse what the trainer itself would refuse, before anything is started."""
    against = next(iter(refusals(run_of(value.job))), None)
    if against is None:
        return None
    return Finding(Reason.INVALID_SPEC, f"spec.{against.field}: {against.message}")


def memory_suffices(value: AcceptInput) -> Finding | None:
    """Refuse a model or a batch that the memory limit cannot hold."""
    problem = too_small(value.job.spec)
    if problem is None:
        return None
    return Finding(Reason.INVALID_SPEC, f"spec.resources.limits.memory: {problem}")


def batch_can_be_shared(value: AcceptInput) -> Finding | None:
    """Refuse a batch of texts with too few examples for each part of each process.

    Images may be fewer: a part of a batch of them may be empty.
    """
    spec = value.job.spec
    learning = spec.hyperparameters
    if StageName.PRETRAIN not in run_of(value.job).stage_names():
        return None
    processes = spec.nodes * processes_per_node(spec)
    parts = learning.accumulation_steps * processes
    if learning.batch_size >= parts:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"spec.hyperparameters.batchSize: {learning.batch_size} examples cannot be shared by "
        f"{processes} processes in {learning.accumulation_steps} parts each; use {parts} or more",
    )


def files_lie_in_an_allowed_folder(value: AcceptInput) -> Finding | None:
    """Refuse file:// uris outside the operator's folders."""
    for field, uri in _uris(value.job.spec).items():
        parts = urlsplit(uri)
        if parts.scheme in {"file", "pvc"} and ".." in PurePosixPath(unquote(parts.path)).parts:
            return Finding(Reason.INVALID_SPEC, f"{field}: the path must not contain '..'")
        folders = value.settings.model_folders
        if parts.scheme == "file" and folder_of(uri, folders) is None:
            allowed = ", ".join(folders) if folders else "none"
            return Finding(
                Reason.ADDRESS_REFUSED,
                f"{field}: {uri} is in no folder that the operator's setting PUNA_MODEL_FOLDERS "
                f"allows ({allowed})",
            )
    return None


def addresses_are_allowed(value: AcceptInput) -> Finding | None:
    """Refuse a source by its address; what a name resolves to is the network's to judge."""
    settings = value.settings
    for field, uri in _uris(value.job.spec).items():
        try:
            parts = urlsplit(uri)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            return Finding(Reason.INVALID_SPEC, f"{field}: {uri}: {error}")
        if parts.scheme not in {"http", "https"}:
            continue
        problem = refused_host(host, settings.allowed_networks, api_server=settings.api_server_host)
        if problem is not None:
            return Finding(
                Reason.ADDRESS_REFUSED,
                f"{field}: {problem}, which the operator's setting PUNA_ALLOWED_NETWORKS does not "
                "name",
            )
    return None


def processes_can_meet(value: AcceptInput) -> Finding | None:
    """Refuse several processes on several nodes where there is no cluster DNS for torchrun."""
    spec = value.job.spec
    if spec.nodes == 1 or processes_per_node(spec) == 1:
        return None
    if value.settings.training_rendezvous == "Service":
        return None
    return Finding(
        Reason.INVALID_SPEC,
        "spec.acceleratorCount: several nodes with several accelerators each need cluster DNS, "
        "which the operator's setting PUNA_TRAINING_RENDEZVOUS says is not there; use 1",
    )


def node_selector_agrees(value: AcceptInput) -> Finding | None:
    """Refuse a label that the accelerator's nodes cannot have."""
    spec = value.job.spec
    needed = contradiction(value.settings.accelerators[spec.accelerator], spec.node_selector)
    if needed is None:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"spec.nodeSelector: accelerator {spec.accelerator} runs on nodes with {needed}; remove "
        f"{needed.partition('=')[0]}",
    )


def accelerators_are_counted_once(value: AcceptInput) -> Finding | None:
    """Refuse the accelerator's own resource among the Pods' resources."""
    spec = value.job.spec
    name = value.settings.accelerators[spec.accelerator].resource_name
    if name not in spec.resources.requests and name not in spec.resources.limits:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"spec.resources: {name} is what spec.acceleratorCount sets; remove it here",
    )


def no_foreign_object_has_a_childs_name(value: AcceptInput) -> Finding | None:
    """Refuse to build where somebody else's object holds a child's name."""
    if not value.observed.foreign:
        return None
    key = min(value.observed.foreign)
    if key.kind == "PersistentVolumeClaim":
        return Finding(
            Reason.NAME_CONFLICT,
            f"spec.output.volumeClaimTemplate: PersistentVolumeClaim {key.name} exists and was not "
            "made for this TrainingJob; to write to it, name it in "
            "spec.output.persistentVolumeClaim.claimName",
        )
    return Finding(
        Reason.NAME_CONFLICT,
        f"{key.kind} {key.name} exists and does not belong to this TrainingJob; delete it or give "
        "the TrainingJob another name",
    )


def claims_exist(value: AcceptInput) -> Finding | None:
    """Name the first PersistentVolumeClaim that is missing."""
    for field, name in claim_names(value.job).items():
        if name not in value.observed.claims:
            return Finding(
                Reason.VOLUME_CLAIM_NOT_FOUND,
                f"{field}: there is no PersistentVolumeClaim {name} in namespace "
                f"{value.job.metadata.namespace}; create it or name another",
            )
    return None


def secrets_exist(value: AcceptInput) -> Finding | None:
    """Name the first Secret that is missing."""
    for name in secret_names(value.job.spec):
        if name in value.observed.missing_secrets:
            return Finding(
                Reason.SECRET_NOT_FOUND,
                f"spec.dataset.credentialsSecretRef.name: there is no Secret {name} in namespace "
                f"{value.job.metadata.namespace}; create it or name another",
            )
    return None


def _uris(spec: TrainingJobSpec) -> dict[str, str]:
    fields = {"spec.dataset.uri": spec.dataset.uri, "spec.model.uri": spec.model.uri}
    return {field: uri for field, uri in fields.items() if uri is not None}


SPEC_CHECKS: Final[tuple[Check[AcceptInput], ...]] = (
    trainer_takes_it,
    batch_can_be_shared,
    memory_suffices,
    files_lie_in_an_allowed_folder,
    addresses_are_allowed,
    processes_can_meet,
    node_selector_agrees,
    accelerators_are_counted_once,
    no_foreign_object_has_a_childs_name,
)
"""Decide condition Accepted."""

REFERENCE_CHECKS: Final[tuple[Check[AcceptInput], ...]] = (claims_exist, secrets_exist)
"""Decide condition ResolvedRefs."""

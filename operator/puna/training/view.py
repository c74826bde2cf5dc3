"""The view of a run: everything that its conditions, its columns and its events are judged from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from puna.api.training_status import ArtifactStatus
from puna.core.findings import Finding
from puna.training.attempts import Record
from puna.training.shown import Shown
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.progress import Result


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended for good."""

    failure: Finding | None
    """Why it failed; None: it is complete."""
    result: Result | None = None
    """The trainer's last word."""
    at: datetime | None = None
    """When it ended, if somebody says so."""


@dataclass(frozen=True, slots=True)
class View:
    """A run as it is now."""

    name: str
    namespace: str
    generation: int
    now: datetime
    stages: tuple[StageName, ...]
    types: tuple[ArtifactType, ...]
    """Files that the spec asks for."""
    verify: bool
    """Whether each GGUF is to be compared with the trained model."""
    queue: str | None
    refusal: Finding | None
    """Why the spec cannot be carried out."""
    unresolved: Finding | None
    """Which reference is missing."""
    suspended: bool
    """The spec says so."""
    admitted: bool
    """The queue has let it in, or there is none."""
    running: bool
    """The trainer runs in the leading Pod."""
    obstacle: Finding | None
    """What keeps Pods from starting."""
    shown: Shown
    record: Record
    artifacts: tuple[ArtifactStatus, ...]
    metrics: dict[str, float]
    verdict: Verdict | None

    @property
    def failure(self) -> Finding | None:
        """Why the run failed, if it did."""
        return self.verdict.failure if self.verdict else None

    @property
    def is_complete(self) -> bool:
        """Whether it has ended well."""
        return self.verdict is not None and self.verdict.failure is None

    @property
    def done(self) -> frozenset[StageName]:
        """Stages that are done."""
        if self.is_complete:
            return frozenset(self.stages)
        return frozenset(self.shown.progress.done if self.shown.progress else ())

    @property
    def stage(self) -> StageName | None:
        """The stage that is being done, or was last."""
        return self.shown.progress.stage if self.shown.progress else None

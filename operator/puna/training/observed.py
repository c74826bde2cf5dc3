"""What one plan of a TrainingJob may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from puna.core.plan import Manifest, ObjectKey
from puna_trainer.progress import Progress


@dataclass(frozen=True, slots=True)
class ObservedTraining:
    """Facts, read before a plan is made."""

    children: tuple[Manifest, ...] = ()
    """Live objects whose controller is the TrainingJob: Job, ConfigMap, Service."""
    pods: tuple[Manifest, ...] = ()
    """Its Pods, of all its Jobs and ranks."""
    missing_secrets: frozenset[str] = frozenset()
    """Secrets that the spec names and the namespace lacks."""
    claims: Mapping[str, Manifest] = field(default_factory=dict)
    """PersistentVolumeClaims that the spec names, as far as they exist."""
    foreign: frozenset[ObjectKey] = frozenset()
    """Objects with a wanted child's name that somebody else owns."""
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """Last progress line by Pod."""
    turn: datetime | None = None
    """When the status may be written again for numbers alone; None: this process never wrote it."""
    rejected: str | None = None
    """The API server's words, if it refused a child in the pass before."""

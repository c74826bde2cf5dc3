"""Metrics of training jobs: what their statuses say, for as long as they are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from puna.core.plan import Manifest
from puna.core.readiness import condition_of

STATES: Final = ("Running", "Suspended", "Waiting", "Complete", "Failed")
_NUMBERS: Final = {
    "step": ("puna_training_step", "Steps of the optimizer that a TrainingJob has done."),
    "loss": ("puna_training_loss", "Training loss of a TrainingJob."),
    "valLoss": ("puna_training_validation_loss", "Last validation loss of a TrainingJob."),
    "tokensPerSecond": ("puna_training_tokens_per_second", "Speed of a TrainingJob on texts."),
    "imagesPerSecond": ("puna_training_images_per_second", "Speed of a TrainingJob on images."),
    "etaSeconds": (
        "puna_training_eta_seconds",
        "Time until the present stage of a TrainingJob is done.",
    ),
}
_JOB: Final = ("namespace", "name")


class TrainingMetrics:
    """Series of training jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs: Final = Gauge(
            "puna_training_jobs",
            "TrainingJobs by state: Running, Suspended, Waiting, Complete, Failed.",
            ("state",),
            registry=registry,
        )
        self._numbers: Final = {
            member: Gauge(name, meaning, _JOB, registry=registry)
            for member, (name, meaning) in _NUMBERS.items()
        }
        self._updated: Final = Gauge(
            "puna_training_progress_timestamp_seconds",
            "When a TrainingJob that runs last told its progress, or was let run if that is later; "
            "its age tells whether it lives.",
            _JOB,
            registry=registry,
        )
        self._failed: Final = Gauge(
            "puna_training_failed_timestamp_seconds",
            "When a TrainingJob failed, and the reason of its condition Failed; it ends with a "
            "retry that is ordered, or with the TrainingJob.",
            (*_JOB, "reason"),
            registry=registry,
        )
        self._retries: Final = Gauge(
            "puna_training_retries",
            "Attempts of a TrainingJob that ended too early: counted (failures) or ignored "
            "(disruptions).",
            (*_JOB, "kind"),
            registry=registry,
        )

    def show(self, jobs: Iterable[Manifest]) -> None:
        """Set all series to what the jobs' statuses say; those of jobs that are gone end."""
        for gauge in (*self._numbers.values(), self._updated, self._failed, self._retries):
            gauge.clear()
        states: Counter[str] = Counter()
        for job in jobs:
            state = state_of(job)
            states[state] += 1
            status = job.get("status", {})
            names = (job["metadata"]["namespace"], job["metadata"]["name"])
            for kind, number in status.get("retries", {}).items():
                self._retries.labels(*names, kind).set(number)
            if state == "Failed" and "completionTime" in status:
                ended = datetime.fromisoformat(status["completionTime"])
                self._failed.labels(*names, _reason(status)).set(ended.timestamp())
            if state != "Running":
                continue
            progress = status.get("progress", {})
            for member, gauge in self._numbers.items():
                if member in progress:
                    gauge.labels(*names).set(progress[member])
            signs = (progress.get("updatedAt"), status.get("activeSince"))
            seen = [datetime.fromisoformat(sign).timestamp() for sign in signs if sign is not None]
            if seen:
                self._updated.labels(*names).set(max(seen))
        for state in STATES:
            self._jobs.labels(state).set(states[state])


def state_of(job: Manifest) -> str:
    """Return the state of a TrainingJob, in a word."""
    for state in ("Complete", "Failed", "Suspended"):
        if condition_of(job, state) == "True":
            return state
    reasons = {item["reason"] for item in job.get("status", {}).get("conditions", ())}
    return "Running" if "Running" in reasons else "Waiting"


def _reason(status: Manifest) -> str:
    """Return why a run failed."""
    conditions = status.get("conditions", ())
    return next((str(item["reason"]) for item in conditions if item["type"] == "Failed"), "")

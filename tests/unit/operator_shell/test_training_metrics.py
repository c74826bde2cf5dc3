"""What the operator publishes of training runs: what dashboard and alerts were checked with."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from puna.core.plan import Manifest
from puna.training.plan import plan
from puna.training_metrics import TrainingMetrics
from puna_trainer.config.output import StageName
from puna_trainer.exits import FailureReason
from tests.factories import NOW, settings
from tests.promql import series_of
from tests.recording import TRAINING, compare
from tests.trainings import (
    applied,
    ended_job,
    failure,
    observed_training,
    said,
    trainer_pod,
    training_job,
)


def published(*jobs: Manifest) -> str:
    """Series of these TrainingJobs."""
    registry = CollectorRegistry()
    TrainingMetrics(registry).show(jobs)
    return generate_latest(registry).decode()


def shown(**seen: object) -> Manifest:
    """A TrainingJob with the status that follows from what is seen."""
    job = training_job()
    children = plan(job, observed_training(), settings(), NOW).children or ()
    live = tuple(applied(child) for child in children)
    if seen.pop("failed", False):
        live = tuple(
            ended_job(child, "Failed", "PodFailurePolicy") if child["kind"] == "Job" else child
            for child in live
        )
    status = plan(job, observed_training(children=live, **seen), settings(), NOW).status
    metadata = {"namespace": job.metadata.namespace, "name": job.metadata.name}
    return {"metadata": metadata, "status": status.to_dict()}


def running() -> Manifest:
    """A run that tells everything that it can."""
    pod = trainer_pod()
    line = said(
        StageName.PRETRAIN,
        step=10,
        total_steps=100,
        loss=0.5,
        val_loss=0.6,
        tokens_per_second=9.5,
        images_per_second=2.5,
        eta_seconds=30,
    )
    return shown(pods=(pod,), progress={pod["metadata"]["name"]: line})


def failed() -> Manifest:
    """A run that the trainer gave up."""
    end = failure(FailureReason.NON_FINITE_LOSS)
    return shown(failed=True, pods=(trainer_pod(code=42, result=end),))


def test_the_series_are_those_that_dashboard_and_alerts_were_checked_with() -> None:
    compare(TRAINING, published(running(), failed()))


def test_a_failure_is_told_with_its_reason_and_its_time() -> None:
    text = published(failed())
    (line,) = [line for line in text.splitlines() if line.startswith("puna_training_failed_")]
    assert 'reason="NonFiniteLoss"' in line
    assert float(line.split()[-1]) == NOW.timestamp()


def test_only_a_run_that_runs_can_be_stuck() -> None:
    silence = "puna_training_progress_timestamp_seconds"
    assert silence in series_of(published(running()))
    assert silence not in series_of(published(failed()))
    assert "puna_training_failed_timestamp_seconds" not in series_of(published(running()))

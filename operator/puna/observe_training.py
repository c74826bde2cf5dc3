"""Observation of training: reads what a TrainingJob's plan may see. Decides nothing about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from puna.api.trainingjob import TrainingJob
from puna.context import Context
from puna.core.naming import LABEL_TRAINING_JOB
from puna.core.pacing import wait_for_turn
from puna.core.plan import Manifest, Ref
from puna.observe import children_of
from puna.store import Store, ref_of
from puna.training.accept import secret_names
from puna.training.observed import ObservedTraining
from puna.training.outcome import end_of, is_running, rank_of
from puna.training.shown import is_milestone
from puna.training.volumes import claim_names
from puna.triggers import TRAINING_JOB, training_key
from puna_trainer.progress import Progress


async def observe_training(context: Context, job: TrainingJob) -> ObservedTraining:
    """Read the facts about one TrainingJob."""
    ref = Ref(job.metadata.namespace, job.metadata.name)
    pods = tuple(pods_of(context.store, ref))
    return ObservedTraining(
        children=tuple(children_of(context.store, job.metadata.uid)),
        pods=pods,
        missing_secrets=await _missing_secrets(context, job),
        claims=await _claims(context, job),
        progress=_progress(context, ref, pods),
        turn=context.turns.get(training_key(ref)),
    )


def find_training_job(context: Context, ref: Ref) -> TrainingJob | None:
    """Return a TrainingJob, unless it is gone or going.

    Raises:
        InvalidResourceError: its spec cannot be read.
    """
    manifest = context.store.find(TRAINING_JOB, ref)
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        context.turns.pop(training_key(ref), None)
        return None
    return context.training_jobs.parse(manifest)


def pods_of(store: Store, job: Ref) -> Iterable[Manifest]:
    """Yield the Pods that a TrainingJob's Jobs made."""
    for manifest in store.labelled(job):
        labels = manifest["metadata"].get("labels", {})
        if (
            manifest["kind"] == "Pod"
            and labels.get(LABEL_TRAINING_JOB) == job.name
            and any(
                owner["kind"] == "Job" for owner in manifest["metadata"].get("ownerReferences", ())
            )
        ):
            yield manifest


async def _missing_secrets(context: Context, job: TrainingJob) -> frozenset[str]:
    return frozenset(
        [
            name
            for name in secret_names(job.spec)
            if not await context.references.has_secret(Ref(job.metadata.namespace, name))
        ]
    )


async def _claims(context: Context, job: TrainingJob) -> dict[str, Manifest]:
    namespace = job.metadata.namespace
    found = {
        name: await context.references.claim(Ref(namespace, name))
        for name in set(claim_names(job).values())
    }
    return {name: claim for name, claim in found.items() if claim is not None}


def _progress(context: Context, ref: Ref, pods: Iterable[Manifest]) -> dict[str, Progress]:
    """Return the last progress of every leading Pod that runs or has run; follow its log."""
    key = training_key(ref)

    def news(before: Progress | None, said: Progress) -> None:
        """Wake the run when it may be written: no pass in vain for the lines before that."""
        wait = wait_for_turn(context.turns.get(key), context.clock())
        if is_milestone(before, said):
            wait = timedelta()
        context.wakeups.wake(key, delay=wait.total_seconds())

    found = {
        pod["metadata"]["name"]: context.training_logs.progress(ref_of(pod), news)
        for pod in pods
        if rank_of(pod) == 0 and (is_running(pod) or end_of(pod) is not None)
    }
    return {name: progress for name, progress in found.items() if progress is not None}

"""The plan of a TrainingJob: from what is wanted and observed to children, status and events.

Terminal is terminal: what is complete or has failed is said by the status, and from then on nothing
is created any more, whatever was deleted. Only an ordered retry makes a failed one run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from puna.api.conditions import find
from puna.api.reasons import ConditionType, Reason
from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.findings import Finding, first_finding
from puna.core.naming import ANNOTATION_RETRY
from puna.core.ownership import applied_part
from puna.core.pacing import is_due, wait_for_turn
from puna.core.plan import Manifest, Plan
from puna.settings import Settings
from puna.training.accept import REFERENCE_CHECKS, SPEC_CHECKS, AcceptInput
from puna.training.attempts import ends, record
from puna.training.claim import build_claim
from puna.training.clock import Clock, clock, deadline, expiry
from puna.training.config_map import build_config_map
from puna.training.job import build_job, ended_job, existing_job, job_name
from puna.training.observed import ObservedTraining
from puna.training.outcome import end_of, is_running, rank_of
from puna.training.service import build_service
from puna.training.shown import Line, completed, shown
from puna.training.status import build_status, measured, registered, transitions
from puna.training.summary import with_last_words
from puna.training.verdict import verdict
from puna.training.view import View
from puna.training.waiting import obstacle
from puna_trainer.config.run import STAGES_OF

LOOK_AGAIN: Final = timedelta(seconds=10)
"""For what no watch tells: missing Secrets and claims, foreign objects."""
SOON: Final = timedelta(milliseconds=500)
"""While a Job's end is known and its Pod's is not."""
LEAVING: Final = timedelta(seconds=1)
"""While Pods of a former Job end."""


def plan(
    job: TrainingJob, observed: ObservedTraining, settings: Settings, now: datetime
) -> Plan[TrainingJobStatus]:
    """Return everything that one pass wants to be true."""
    order = job.metadata.annotations.get(ANNOTATION_RETRY)
    before = job.status
    if is_finished(before):
        if not _is_true(before, ConditionType.FAILED) or order is None or order == before.retry:
            return _rest(job, observed, now)
        before = _anew(before, order)
    return _carry_out(_Pass(job, before, observed, settings, now))


def is_finished(status: TrainingJobStatus) -> bool:
    """Return whether a run has ended for good."""
    return _is_true(status, ConditionType.COMPLETE) or _is_true(status, ConditionType.FAILED)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass is made from."""

    job: TrainingJob
    before: TrainingJobStatus
    observed: ObservedTraining
    settings: Settings
    now: datetime

    @property
    def live(self) -> Manifest | None:
        """The present run's Job, if it is there and stays."""
        name = job_name(self.job.metadata.name, self.before.run)
        for child in self.observed.children:
            if child["kind"] == "Job" and child["metadata"]["name"] == name:
                return None if "deletionTimestamp" in child["metadata"] else child
        return None

    @property
    def pods(self) -> tuple[Manifest, ...]:
        """Pods of the present run's Job."""
        live = self.live
        return () if live is None else tuple(pod for pod in self.observed.pods if _is_of(pod, live))

    @property
    def leaving(self) -> tuple[Manifest, ...]:
        """Pods of Jobs before it that have not ended: two may not write to one folder."""
        live = self.live
        return tuple(
            pod
            for pod in self.observed.pods
            if end_of(pod) is None and (live is None or not _is_of(pod, live))
        )


def _rest(job: TrainingJob, observed: ObservedTraining, now: datetime) -> Plan[TrainingJobStatus]:
    """Return the plan of a finished run: everything stays, but nothing runs."""
    status = job.status
    seen = record(
        status, observed.pods, observed.progress, ranks=job.spec.nodes, pausing=True, now=now
    )
    last = completed(status, _line(observed, seen.last.pod) if seen.last else None)
    status = status.model_copy(
        update={
            "observed_generation": job.metadata.generation,
            "progress": last.progress,
            "checkpoints": last.checkpoints,
            "lineage": last.lineage.model_copy(update={"attempts": seen.attempts}),
            "summary": with_last_words(status.summary, last.progress),
        }
    )
    at = expiry(status, job.spec)
    if at is not None and now >= at:
        return Plan(None, status, expired=True)
    return Plan(_kept(observed), status, requeue_after=None if at is None else at - now)


def _kept(observed: ObservedTraining) -> tuple[Manifest, ...]:
    """Return what exists, as it is; of a Job that still runs the Pods are ended, and none is lost.

    To delete it would take the logs of those that have ended along.
    """
    return tuple(
        applied_part(child) if child["kind"] != "Job" or _has_ended(child) else ended_job(child)
        for child in observed.children
        if "deletionTimestamp" not in child["metadata"]
    )


def _has_ended(job: Manifest) -> bool:
    return any(
        condition["type"] in {"Complete", "Failed"} and condition["status"] == "True"
        for condition in job.get("status", {}).get("conditions", ())
    )


def _anew(before: TrainingJobStatus, order: str) -> TrainingJobStatus:
    """Return the status of a failed run that is to run again, from its last checkpoint."""
    ended = {ConditionType.COMPLETE, ConditionType.FAILED}
    return TrainingJobStatus(
        conditions=tuple(item for item in before.conditions if item.type not in ended),
        run=before.run + 1,
        retry=order,
        progress=before.progress,
        checkpoints=before.checkpoints,
        lineage=before.lineage,
    )


def _carry_out(work: _Pass) -> Plan[TrainingJobStatus]:
    job, before, observed, now = work.job, work.before, work.observed, work.now
    live, spec = work.live, job.spec
    value = AcceptInput(job, observed, work.settings)
    refusal = first_finding(SPEC_CHECKS, value)
    if observed.rejected is not None:
        refusal = Finding(Reason.APPLY_REJECTED, observed.rejected)
    unresolved = None if refusal else first_finding(REFERENCE_CHECKS, value)
    blocked = live is None and (refusal is not None or unresolved is not None)
    admitted = spec.queue_name is None or (
        live is not None and not live["spec"].get("suspend", False)
    )
    paused = spec.suspend or not admitted
    times = clock(before, active=live is not None and not paused, now=now)
    attempts = record(
        before,
        observed.pods,
        observed.progress,
        ranks=spec.nodes,
        pausing=paused or bool(live and live["spec"].get("suspend")),
        now=now,
    )
    # Of one Pod the Job itself counts the failures; of several it cannot tell what is one.
    exhausted = spec.nodes > 1 and attempts.retries.counted > spec.backoff_limit
    found = verdict(live, work.pods, deadline(times, spec), now, exhausted=exhausted)
    leading = [pod for pod in work.pods if rank_of(pod) == 0]
    newest = max(leading, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
    last = next((end.result for _, end in reversed(ends(leading)) if end.result), None)
    result = last if found.verdict is not None or not is_running(newest) else None
    lineage = before.lineage.model_copy(update={"seed": spec.hyperparameters.seed})
    shows = shown(
        before.model_copy(update={"lineage": lineage}),
        _line(observed, newest["metadata"]["name"]) if newest else None,
        result,
        due=found.verdict is not None or is_due(observed.turn, now),
    )
    done = found.verdict is not None and found.verdict.failure is None
    view = View(
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        generation=job.metadata.generation,
        now=now,
        stages=tuple(stage.name for stage in spec.stages) or STAGES_OF[spec.task],
        types=spec.export.types,
        verify=spec.export.verify,
        queue=spec.queue_name,
        refusal=refusal,
        unresolved=unresolved,
        suspended=spec.suspend,
        admitted=admitted,
        running=any(map(is_running, leading)),
        obstacle=obstacle(work.pods),
        shown=shows,
        record=attempts,
        artifacts=registered(job, result) if done else (),
        metrics=measured(before, result),
        verdict=found.verdict,
    )
    status = build_status(
        before,
        view,
        times=_stopped(times, now) if found.verdict else times,
        retry=job.metadata.annotations.get(ANNOTATION_RETRY, before.retry),
        image=work.settings.accelerators[spec.accelerator].trainer_image,
    )
    events = transitions(before, status, view)
    waits = _waits(work, view, times, seeing=found.seeing)
    if blocked:
        return Plan(None, status, events, LOOK_AGAIN)
    if found.verdict is not None:
        at = expiry(status, spec)
        again = None if at is None else max(timedelta(), at - now)
        return Plan(_kept(observed), status, events, again)
    return Plan(tuple(_children(work, times)), status, events, min(waits, default=None))


def _children(work: _Pass, times: Clock) -> Iterator[Manifest]:
    """Yield the children in the order of application: what a Pod reads comes before it."""
    job, before, live = work.job, work.before, work.live
    spec = job.spec
    run = before.run
    claim = build_claim(job)
    if claim is not None:
        yield claim
    yield build_config_map(job, run) if live is None else _stored(work, "ConfigMap")
    # Before it is let run, a Job needs nothing beside itself.
    let_run = times.active_since is not None or not (spec.suspend or spec.queue_name)
    if spec.nodes > 1 and let_run and work.settings.training_rendezvous == "Service":
        yield build_service(job, run)
    if spec.queue_name is not None and spec.suspend:
        return  # `suspend` of a queued Job is Kueue's: a pause takes the Job away instead
    if live is not None:
        yield existing_job(live, job)
    elif not work.leaving:
        yield build_job(
            job,
            run=run,
            save_seconds=before.checkpoints.save_seconds,
            settings=work.settings,
        )


def _stored(work: _Pass, kind: str) -> Manifest:
    """Return a child of the present run as it was created; a new one if it was deleted."""
    name = job_name(work.job.metadata.name, work.before.run)
    for child in work.observed.children:
        if child["kind"] == kind and child["metadata"]["name"] == name:
            return applied_part(child)
    return build_config_map(work.job, work.before.run)


def _waits(work: _Pass, view: View, times: Clock, *, seeing: bool) -> list[timedelta]:
    """Return when to look without being woken."""
    waits = []
    at = deadline(times, work.job.spec)
    if at is not None:
        waits.append(max(timedelta(), at - work.now))
    if view.shown.held_back:
        waits.append(wait_for_turn(work.observed.turn, work.now))
    if work.leaving and work.live is None:
        waits.append(LEAVING)
    if seeing:
        waits.append(SOON)
    if view.unresolved is not None or view.refusal is not None:
        waits.append(LOOK_AGAIN)
    return waits


def _line(observed: ObservedTraining, pod: str) -> Line | None:
    said = observed.progress.get(pod)
    return None if said is None else Line(pod, said)


def _stopped(times: Clock, now: datetime) -> Clock:
    if times.active_since is None:
        return times
    spent = round((now.replace(microsecond=0) - times.active_since).total_seconds())
    return replace(times, active_since=None, active_seconds=times.active_seconds + spent)


def _is_of(pod: Manifest, live: Manifest) -> bool:
    uid = live["metadata"]["uid"]
    return any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))


def _is_true(status: TrainingJobStatus, kind: ConditionType) -> bool:
    condition = find(status.conditions, kind)
    return condition is not None and condition.status == "True"

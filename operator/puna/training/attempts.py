"""Attempts: which Pods ran the trainer, how each ended, and what of that counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from puna.api.reasons import Reason
from puna.api.training_status import MAX_ATTEMPTS, Attempt, Retries, TrainingJobStatus
from puna.core.plan import Manifest
from puna.training.outcome import UNCOUNTED, End, created, end_of, rank_of
from puna.training.ranks import attempt_end
from puna_trainer.progress import Progress

LONGEST_MESSAGE = 512
"""Characters of an attempt's message."""


@dataclass(frozen=True, slots=True)
class Record:
    """Attempts so far, and those among them that have just ended too early."""

    attempts: tuple[Attempt, ...]
    retries: Retries
    ended: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The newest one."""
        return self.attempts[-1] if self.attempts else None


def record(
    before: TrainingJobStatus,
    pods: Sequence[Manifest],
    progress: Mapping[str, Progress],
    *,
    ranks: int,
    pausing: bool,
    now: datetime,
) -> Record:
    """Return the attempts with what Pods show now; each end counts once.

    Args:
        before: the status so far.
        pods: all of the TrainingJob.
        progress: last line of each Pod's log.
        ranks: how many Pods train together.
        pausing: whether Pods end because the run is suspended, which is no retry, however they do.
        now: the time.
    """
    known = {attempt.pod: attempt for attempt in before.lineage.attempts}
    oldest = min((attempt.started_at for attempt in known.values()), default=None)
    full = len(known) >= MAX_ATTEMPTS
    leading = [pod for pod in pods if rank_of(pod) == 0]
    found = dict(known)
    for pod in leading:
        name = pod["metadata"]["name"]
        if name not in known and full and oldest is not None and created(pod) < oldest:
            continue  # it was among the attempts once, and counted
        found[name] = _seen(
            known.get(name), pod, progress.get(name), attempt_end(pod, pods, ranks=ranks)
        )
    there = {pod["metadata"]["name"] for pod in leading}
    for name, attempt in found.items():
        if attempt.finished_at is None and name not in there:
            found[name] = _gone(attempt, now)
    ended = tuple(
        attempt
        for name, attempt in found.items()
        if attempt.finished_at is not None
        and attempt.reason is not Reason.DONE
        and (name not in known or known[name].finished_at is None)
    )
    retries = before.retries
    if ended and not pausing:
        failed = sum(attempt.reason not in UNCOUNTED for attempt in ended)
        retries = Retries(
            counted=retries.counted + failed,
            ignored=retries.ignored + len(ended) - failed,
        )
    ordered = sorted(found.values(), key=lambda attempt: (attempt.started_at, attempt.pod))
    return Record(tuple(ordered[-MAX_ATTEMPTS:]), retries, ended)


def ends(pods: Iterable[Manifest]) -> list[tuple[Manifest, End]]:
    """Return the Pods that have ended, with how, in the order in which they did."""
    found = [(pod, end) for pod in pods if (end := end_of(pod)) is not None]
    return sorted(found, key=lambda item: (str(item[1].finished_at), item[0]["metadata"]["name"]))


def _seen(known: Attempt | None, pod: Manifest, said: Progress | None, end: End | None) -> Attempt:
    """Return an attempt as its Pod shows it; what is known of one that has ended stays."""
    attempt = known or Attempt(pod=pod["metadata"]["name"], started_at=created(pod))
    update: dict[str, object] = {}
    if "nodeName" in pod.get("spec", {}):
        update["node"] = pod["spec"]["nodeName"]
    if said is not None and attempt.from_step is None and said.step is not None:
        update["from_step"] = said.resumed_from or 0
    if end is not None and attempt.finished_at is None:
        result = end.result
        step = result.step if result else None
        update |= {
            "finished_at": end.finished_at or created(pod),
            "exit_code": end.exit_code,
            "reason": end.reason,
            "message": end.message[:LONGEST_MESSAGE] or None,
            "to_step": step if step is not None else (said.step if said else None),
        }
    return attempt.model_copy(update=update)


def _gone(attempt: Attempt, now: datetime) -> Attempt:
    return attempt.model_copy(
        update={
            "finished_at": now.replace(microsecond=0),
            "reason": Reason.DISRUPTED,
            "message": "the Pod is gone; nobody saw how it ended",
        }
    )

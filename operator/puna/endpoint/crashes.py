"""Crashes: servers of a canary that end again and again, which no count of requests shows.

A server that is away gets no requests; those that it broke off may be too few to be sure of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from puna.api.analysis import MetricVerdict, Result
from puna.api.reasons import Reason
from puna.core.naming import LABEL_PROCESS
from puna.core.plan import Manifest
from puna.core.readiness import is_ready
from puna.endpoint.diagnosis import diagnose
from puna.endpoint.pod import SERVER

CRASHES: Final = "Crashes"
"""Metric that is there only where it fails."""
MOST_RESTARTS: Final = 2
"""Of one server. The first comes at once, the second 10 s later, the third after 20 s more: whoever
is away then was given half a minute."""
SHORT: Final = timedelta(minutes=5)
"""A run that lasted for longer is no crash of those that come again and again."""
_AT_FAULT: Final = frozenset({Reason.CRASH_LOOP, Reason.INVALID_MODEL})


def crash_verdict(
    pods: Iterable[Manifest], process: str, *, stable: str, since: datetime | None
) -> MetricVerdict | None:
    """Return that a canary fails by its servers, one of which ends again and again.

    None where none does, and where a server of the stable revision has ended since, too: then it is
    the nodes, or the requests.

    Args:
        pods: Of the endpoint.
        process: Hash of the canary's process.
        stable: Hash of the stable revision's.
        since: When the canary's step began; what happened before is held against it only if it
            happens again.
    """
    found = tuple(pods)
    if since is None or process == stable:
        return None
    if any(_ended(pod, since) is not None for pod in found if _process(pod) == stable):
        return None
    for pod in found:
        if _process(pod) == process and (why := _crashes(pod, since)) is not None:
            return MetricVerdict(name=CRASHES, result=Result.FAIL, message=why)
    return None


def _crashes(pod: Manifest, since: datetime) -> str | None:
    """Return how a Pod's server is away after one more end, if it is."""
    server, ended = _server(pod), _ended(pod, since)
    restarts = server.get("restartCount", 0)
    if ended is None or restarts <= MOST_RESTARTS or _ran(ended) >= SHORT:
        return None
    if is_ready(pod) or pod["status"].get("phase") != "Running":
        return None
    # Other containers may end too, those of a service mesh for one.
    status = {**pod["status"], "initContainerStatuses": [], "containerStatuses": [server]}
    problem = diagnose([{**pod, "status": status}], ())
    if problem is None or problem.reason not in _AT_FAULT:
        return None
    return f"{pod['metadata']['name']} was started again {restarts} times; {problem.message}"


def _ended(pod: Manifest, since: datetime) -> Manifest | None:
    """Return how a Pod's server last ended by itself after some time, if it did."""
    server = _server(pod)
    ended: Manifest | None = next(
        (
            state["terminated"]
            for member in ("state", "lastState")
            if (state := server.get(member) or {}).get("terminated")
        ),
        None,
    )
    # A kubelet that lost sight of a container tells no times.
    if ended is None or not ended.get("exitCode") or not ended.get("finishedAt"):
        return None
    return ended if datetime.fromisoformat(ended["finishedAt"]) >= since else None


def _ran(ended: Manifest) -> timedelta:
    finished = datetime.fromisoformat(ended["finishedAt"])
    return finished - datetime.fromisoformat(ended.get("startedAt") or ended["finishedAt"])


def _server(pod: Manifest) -> Manifest:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((status for status in statuses if status["name"] == SERVER), {})


def _process(pod: Manifest) -> str | None:
    found: str | None = pod["metadata"].get("labels", {}).get(LABEL_PROCESS)
    return found

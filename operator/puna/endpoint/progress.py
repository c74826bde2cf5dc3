"""Progress of a model fetch, as the status and its messages show it."""

from __future__ import annotations

from collections.abc import Mapping

from puna.api.llmendpoint_status import FetchStatus
from puna_fetch.config import FetchStage, Progress

GIBIBYTE = 1024**3
MEBIBYTE = 1024**2


def fetch_status(progress: Mapping[str, Progress]) -> FetchStatus | None:
    """Return the progress of the Pod that has the most left to do."""
    if not progress:
        return None
    pod, slowest = max(progress.items(), key=lambda item: (_left(item[1]), item[0]))
    return FetchStatus(
        stage=slowest.stage,
        completed_bytes=slowest.completed_bytes,
        total_bytes=slowest.total_bytes,
        bytes_per_second=None
        if slowest.bytes_per_second is None
        else round(slowest.bytes_per_second),
        pod=pod,
        message=slowest.message,
    )


def describe(status: FetchStatus) -> str:
    """Return one sentence, for example `Downloading: 3.1 of 7.2 GiB (43 %), 52 MiB/s`."""
    if status.stage == FetchStage.WAITING:
        return f"Pod {status.pod} waits for another Pod that fetches the same file"
    done = status.completed_bytes / GIBIBYTE
    if status.total_bytes:
        percent = 100 * status.completed_bytes // status.total_bytes
        text = f"{done:.1f} of {status.total_bytes / GIBIBYTE:.1f} GiB ({percent} %)"
    else:
        text = f"{done:.1f} GiB"
    speed = status.bytes_per_second
    pace = f", {speed / MEBIBYTE:.0f} MiB/s" if speed else ""
    why = f"; {status.message}" if status.message else ""
    return f"{status.stage}: {text}{pace}{why}"


def _left(progress: Progress) -> float:
    if progress.total_bytes is None:
        return float("inf")
    return progress.total_bytes - progress.completed_bytes

"""Processes of one run: who they are, how they find each other, and what they agree on.

    torchrun --nproc-per-node 2 -m puna_trainer run.json         # on one machine
    WORLD_SIZE=2 RANK=0 python -m puna_trainer run.json          # each by itself

`RANK` (or the `JOB_COMPLETION_INDEX` of an Indexed Job) and `WORLD_SIZE` say who a process is.
They meet at `MASTER_ADDR` and `MASTER_PORT`; where these are absent the first process leaves its
address in the output folder, which needs no names in a network. What is agreed on travels between
processors (gloo) also where gradients travel between GPUs (nccl).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

MEETING_NAME: Final = "meeting.json"
MEETING_SECONDS: Final = 300.0
"""How long processes wait for each other at the start."""
ATTEMPT_SECONDS: Final = 5.0
"""How long an address is tried before it is read anew: it may be that of an attempt before."""
LOOK_SECONDS: Final = 0.2
"""How often who waits looks whether to go on waiting."""
CONNECTING: Final = timedelta(seconds=30)
"""How long those who have met may take to connect, in which nobody looks at anything."""
SILENCE: Final = timedelta(hours=12)
"""How long one process may work alone (data, export). One that ends is noticed at once."""

Look: TypeAlias = Callable[[int, str], None]
"""Is told again and again which process waits, and for what; it may raise to end that."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of a run; without arguments, this one alone."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Processes in all."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes what there is one of."""
        return self.rank == 0

    def any(self, *, flag: bool) -> bool:
        """Return whether the flag is set in any process; all get the same answer."""
        if self.size == 1:
            return flag
        return self.sum([float(flag)])[0] > 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums of numbers over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with _noticing_loss():
            dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def share(self, value: Any) -> Any:
        """Return the value of the first process."""
        if self.size == 1:
            return value
        box = [value]
        with _noticing_loss():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(flag=False)

    def leave(self) -> None:
        """End the group in this process."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join(
    environment: Mapping[str, str],
    folder: Path,
    device: torch.device,
    look: Look = lambda _rank, _message: None,
) -> ProcessGroup:
    """Return the group of this run's processes, once all are there.

    Raises:
        TrainingError: RankMissing, they did not find each other; BadConfig, no number is theirs.
    """
    try:
        size = int(environment.get("WORLD_SIZE", "1"))
        rank = int(environment.get("RANK") or environment.get("JOB_COMPLETION_INDEX") or "0")
        port = int(environment.get("MASTER_PORT", "29500"))
    except ValueError as error:
        raise TrainingError(
            FailureReason.BAD_CONFIG, f"WORLD_SIZE, RANK and MASTER_PORT are numbers: {error}"
        ) from error
    if size == 1:
        return ProcessGroup()
    if not 0 <= rank < size:
        raise TrainingError(FailureReason.BAD_CONFIG, f"RANK {rank} is none of {size} processes")
    group = ProcessGroup(rank, size)
    patience = _Patience(rank, time.monotonic() + MEETING_SECONDS, look)
    with _meeting():
        if "MASTER_ADDR" in environment:
            store = _open((environment["MASTER_ADDR"], port), group, patience)
        elif group.is_first:
            store = _host(folder, size, environment.get("POD_IP") or _own_address())
        else:
            store = _find(partial(_read_meeting, folder), size, patience)
        _await_all(store, "processes", group, patience)
        store.set_timeout(SILENCE)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=CONNECTING
        )
        dist.set_timeout(SILENCE)
    return group


@contextmanager
def meeting_of_launchers(host: str, port: int, rank: int, size: int) -> Iterator[None]:
    """Keep open the store at which the launchers of several Pods meet, once all are there.

    torchrun waits for them too, but hears no signal meanwhile; it uses the same store.

    Raises:
        TrainingError: RankMissing, they did not find each other.
    """
    group = ProcessGroup(rank, size)
    patience = _Patience(rank, time.monotonic() + MEETING_SECONDS, lambda _rank, _message: None)
    with _meeting():
        store = _open((host, port), group, patience, shared=True)
        _await_all(store, "launchers", group, patience)
    yield
    del store


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a process waits for the others."""

    rank: int
    deadline: float
    look: Look

    def lasts(self) -> bool:
        """Wait a moment; return whether to go on."""
        self.look(self.rank, "waiting for the other processes of this run")
        time.sleep(LOOK_SECONDS)
        return time.monotonic() < self.deadline


def _open(
    address: tuple[str, int], group: ProcessGroup, patience: _Patience, *, shared: bool = False
) -> TCPStore:
    """Open the store at a known address, or find it there."""
    if not group.is_first:
        return _find(lambda: address, group.size, patience)
    return _store(*address, group.size, first=True, seconds=MEETING_SECONDS, shared=shared)


def _host(folder: Path, size: int, host: str) -> TCPStore:
    """Open the store, and say in the output folder where it is."""
    store = _store(host, 0, size, first=True, seconds=MEETING_SECONDS)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{MEETING_NAME}.new"
    temporary.write_text(json.dumps({"host": host, "port": store.port}), encoding="utf-8")
    temporary.replace(folder / MEETING_NAME)
    return store


def _read_meeting(folder: Path) -> tuple[str, int]:
    """Return where the first process says in the output folder that its store is."""
    meeting = json.loads((folder / MEETING_NAME).read_text(encoding="utf-8"))
    return meeting["host"], meeting["port"]


def _find(address: Callable[[], tuple[str, int]], size: int, patience: _Patience) -> TCPStore:
    """Return the store that the first process opened, wherever it is by now."""
    while True:
        try:
            return _store(*address(), size, first=False, seconds=ATTEMPT_SECONDS)
        except (OSError, RuntimeError) as error:
            if not patience.lasts():
                raise _absent(f"the first one cannot be reached: {error}") from error


def _await_all(store: TCPStore, who: str, group: ProcessGroup, patience: _Patience) -> None:
    """Wait until all of a kind have come to the store."""
    here = [f"{who}/{rank}" for rank in range(group.size)]
    store.set(here[group.rank], "1")
    while not store.check(here):
        if not patience.lasts():
            ranks = [str(rank) for rank, key in enumerate(here) if not store.check([key])]
            raise _absent(f"rank {', '.join(ranks)} did not come")


def _absent(what: str) -> TrainingError:
    return TrainingError(
        FailureReason.RANK_MISSING,
        f"the processes of this run did not find each other within {MEETING_SECONDS:g} s: "
        + what.partition("\n")[0],
    )


def _store(
    host: str, port: int, size: int, *, first: bool, seconds: float, shared: bool = False
) -> TCPStore:
    return TCPStore(
        host,
        port,
        size,
        is_master=first,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,
        multi_tenant=shared,
    )


def _own_address() -> str:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


@contextmanager
def _noticing_loss() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise lost(error) from error


@contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise missing(error) from error


def missing(error: Exception) -> TrainingError:
    """Return the failure that an error of the meeting means."""
    first_line = str(error).partition("\n")[0]
    return TrainingError(
        FailureReason.RANK_MISSING,
        f"the processes of this run did not find each other: {first_line}",
    )


def lost(error: Exception) -> TrainingError:
    """Return the failure that an error between processes means."""
    first_line = str(error).partition("\n")[0]
    return TrainingError(
        FailureReason.RANK_LOST,
        f"another process of this run ended or cannot be reached: {first_line}",
    )

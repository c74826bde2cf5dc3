"""Several processes of one Pod, started by torchrun as Kubernetes starts them: one end for all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from puna_trainer.checkpoint.folder import read_note
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.launch import Ended, silent_ends, telling
from puna_trainer.progress import Result
from tests.ports import free_port
from tests.trainer.test_program import LIMIT_SECONDS, Outcome, finished, run_file

SAVED = Result(exit_code=Exit.INTERRUPTED, step=7)
DONE = Result(exit_code=Exit.DONE)


def failed(reason: FailureReason) -> Result:
    return Result(exit_code=EXIT_OF[reason], reason=reason)


LOST = failed(FailureReason.RANK_LOST)
FULL = failed(FailureReason.OUT_OF_MEMORY)


def launched(
    path: Path,
    termination: Path,
    *,
    nodes: int = 1,
    node: int = 0,
    processes: int = 2,
    port: int | None = None,
) -> subprocess.Popen[str]:
    """The processes of a Pod, with the variables that the operator gives."""
    variables = {
        "PET_NNODES": str(nodes),
        "PET_NPROC_PER_NODE": str(processes),
        "PET_NODE_RANK": str(node),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port or free_port()),
        "OMP_NUM_THREADS": "1",
        "PUNA_TERMINATION_LOG": str(termination),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "puna_trainer.launch", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def test_sigterm_saves_and_ends_with_143(tmp_path: Path) -> None:
    path = run_file(tmp_path, hyperparameters={"epochs": 10_000, "batchSize": 16})
    termination = tmp_path / "termination.json"
    process = launched(path, termination)
    checkpoints = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (checkpoints / "latest.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended = finished(process, termination)
    assert ended.code == Exit.INTERRUPTED, ended.log
    assert ended.result.exit_code == Exit.INTERRUPTED
    assert ended.result.checkpoint is not None
    assert ended.result.checkpoint.step == ended.result.step
    assert read_note(checkpoints / ended.result.checkpoint.name) == ended.result.checkpoint


def test_a_pod_that_waits_for_another_hears_the_signal(tmp_path: Path) -> None:
    termination = tmp_path / "termination.json"
    port = free_port()
    process = launched(run_file(tmp_path), termination, nodes=2, port=port)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not listens(port):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == Exit.INTERRUPTED
    process.communicate()


def listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def test_two_pods_find_each_other_and_end_as_one(tmp_path: Path) -> None:
    path, port = run_file(tmp_path), free_port()
    ends = [tmp_path / f"termination-{node}.json" for node in range(2)]
    pods = [
        launched(path, end, nodes=2, node=node, processes=1, port=port)
        for node, end in enumerate(ends)
    ]
    for pod, end in zip(pods, ends, strict=True):
        ended = finished(pod, end)
        assert ended.code == Exit.DONE, ended.log


def test_what_is_refused_ends_with_its_reason(tmp_path: Path) -> None:
    termination = tmp_path / "termination.json"
    path = run_file(tmp_path, model={})
    ended: Outcome = finished(launched(path, termination), termination)
    assert ended.code == Exit.REFUSED, ended.log
    assert ended.result.reason is FailureReason.BAD_CONFIG
    assert "model.name" in ended.result.message


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("other", [LOST, SAVED, DONE])
def test_the_cause_is_told_and_not_what_was_suffered_from_it(other: Result, *, asked: bool) -> None:
    for words in ({0: other, 1: FULL}, {0: FULL, 1: other}):
        end = telling(words, (), asked=asked)
        assert end.code == Exit.REFUSED
        assert end.word is not None
        assert end.word.reason is FailureReason.OUT_OF_MEMORY


def test_a_signal_is_the_cause_of_a_lost_process_if_it_came_from_outside() -> None:
    words = {0: SAVED, 1: LOST}
    assert telling(words, (), asked=True).code == Exit.INTERRUPTED
    # Else torchrun itself sent it, once one process had failed.
    assert telling(words, (), asked=False).code == LOST.exit_code
    assert telling({0: DONE, 1: DONE}, (), asked=False).code == Exit.DONE


def test_the_first_process_tells_how_far_the_run_is() -> None:
    end = telling({0: LOST.model_copy(update={"step": 7}), 1: FULL}, (), asked=False)
    assert end.word is not None
    assert (end.word.reason, end.word.step) == (FailureReason.OUT_OF_MEMORY, 7)


def test_a_process_that_was_killed_is_the_cause_unless_torchrun_killed_it() -> None:
    words = {0: LOST}
    killed = silent_ends({0: (75, 100), 1: (-signal.SIGKILL, 101)}, words)
    assert telling(words, killed, asked=False) == Ended(137)
    late = silent_ends({0: (75, 100), 1: (-signal.SIGKILL, 131)}, words)
    assert telling(words, late, asked=False).word == LOST
    assert silent_ends({0: (75, 100), 1: (-signal.SIGTERM, 100)}, words) == ()

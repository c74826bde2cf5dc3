from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from puna_cli.cluster.prepare import make_folders
from puna_cli.cluster.processes import (
    ProcessEndedError,
    find,
    forget,
    require_alive,
    running,
    start,
    stop,
    tail,
)
from puna_cli.cluster.program import Program
from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths

SLEEPER = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)")


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    created = ClusterPaths(tmp_path / "cluster")
    make_folders(created)
    return created


def test_a_started_process_is_found_by_the_next_command_and_ended(paths: ClusterPaths) -> None:
    record = start(paths, Program("sleeper", SLEEPER), os.environ)
    assert running(paths) == {"sleeper": record}
    process = find(record)
    assert process is not None
    assert os.getsid(process.pid) == process.pid
    stop([process], 5)
    assert find(record) is None
    assert running(paths) == {}
    forget(paths, "sleeper")
    assert not paths.process("sleeper").exists()


def test_a_pid_that_another_process_has_by_now_is_not_ours(paths: ClusterPaths) -> None:
    record = start(paths, Program("sleeper", SLEEPER), os.environ)
    try:
        assert find(replace(record, started=record.started - 60)) is None
    finally:
        process = find(record)
        assert process is not None
        stop([process], 5)


def test_a_process_that_ignores_sigterm_is_killed(paths: ClusterPaths) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('set'); time.sleep(60)"
    record = start(paths, Program("deaf", (sys.executable, "-uc", code)), os.environ)
    while "set" not in tail(paths.log("deaf")):
        time.sleep(0.01)
    process = find(record)
    assert process is not None
    stop([process], 0.2)
    assert find(record) is None


def test_a_process_that_ended_is_named_with_the_end_of_its_log(paths: ClusterPaths) -> None:
    failing = Program("failing", (sys.executable, "-c", "import sys; sys.exit('port taken')"))
    record = start(paths, failing, os.environ)
    while find(record) is not None:
        time.sleep(0.01)
    with pytest.raises(
        ProcessEndedError, match=r"failing ended; its log .*failing\.log.*\n.*taken"
    ):
        require_alive(paths, {"failing": record})


def test_a_restart_keeps_the_log_of_the_former_run(paths: ClusterPaths) -> None:
    for word in ("first", "second"):
        code = f"print({word!r})"
        record = start(paths, Program("p", (sys.executable, "-c", code)), os.environ)
        while find(record) is not None:
            time.sleep(0.01)
    assert "second" in tail(paths.log("p"))
    assert "first" in tail(paths.logs / "p.previous.log")


def test_a_program_that_is_not_there_is_an_error(paths: ClusterPaths) -> None:
    with pytest.raises(CommandError, match="cannot start /no/such: No such file"):
        start(paths, Program("none", ("/no/such",)), os.environ)


def test_a_damaged_record_counts_as_none(paths: ClusterPaths) -> None:
    paths.process("x").write_text("{")
    assert running(paths) == {}

"""`puna train` with an API server that does not answer each question: it asks again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KUBECTL = """#!/bin/sh
cd "{folder}"
number() {{ echo x >> "$1"; wc -l < "$1"; }}
refuse() {{ echo "$1" >&2; exit 1; }}
case " $* " in
  *" get trainingjobs "*)
    [ "$(number asked)" -ne 2 ] || refuse "the server is away"
    cat jobs.json ;;
  *" get pods "*) cat pods.json ;;
  *" logs "*)
    echo "$*" >> logs
    case "$(wc -l < logs)" in
      1) refuse "the container is waiting to start: ContainerCreating" ;;
      2) head -3 lines; refuse "the connection was lost" ;;
      *) cp ended.json jobs.json; tail -2 lines ;;
    esac ;;
esac
"""
"""It refuses the second look at the run and the first at its log, and breaks off the second."""
LINES = """\
2026-03-01T12:00:00.100000000Z one
the file of this log was lost
2026-03-01T12:00:00.200000000Z two
2026-03-01T12:00:00.300000000Z three
"""
COMPLETE = {
    "type": "Complete",
    "status": "True",
    "reason": "Complete",
    "lastTransitionTime": "2026-03-01T12:00:01Z",
}
SHOWN = {
    "jobs": {"metadata": {"name": "mnist"}, "status": {"summary": {"stage": "train"}}},
    "ended": {
        "metadata": {"name": "mnist"},
        "status": {"summary": {"stage": "Complete"}, "conditions": [COMPLETE]},
    },
    "pods": {"metadata": {"name": "mnist-1-a", "creationTimestamp": "2026-03-01T12:00:00Z"}},
}


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The folder of a kubectl that shows a run."""
    for name, item in SHOWN.items():
        text = json.dumps({"items": [item]})
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    (tmp_path / "lines").write_text(LINES, encoding="utf-8")
    (tmp_path / "kubeconfig").touch()
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(folder=tmp_path), encoding="utf-8")
    kubectl.chmod(0o755)
    return tmp_path


def puna_train(cluster: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `puna train`."""
    environment = {name: value for name, value in os.environ.items() if name != "PUNA_KUBE_BIN"}
    return subprocess.run(
        [
            *(sys.executable, "-m", "puna_cli", "train", *arguments),
            f"--kubeconfig={cluster / 'kubeconfig'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment | {"PATH": f"{cluster}:{os.environ['PATH']}"},
    )


def test_a_log_is_followed_from_before_its_pod_runs_over_a_stream_that_breaks(
    cluster: Path,
) -> None:
    done = puna_train(cluster, "logs", "mnist", "--follow")
    assert (done.returncode, done.stdout) == (0, "one\ntwo\nthree\n"), done.stderr
    assert done.stderr.count("ContainerCreating") == 1
    assert "--since-time=2026-03-01T12:00:00.200000000Z" in (cluster / "logs").read_text()


def test_a_run_is_watched_on_when_one_look_at_it_fails(cluster: Path) -> None:
    (cluster / "jobs.json").rename(cluster / "first.json")
    (cluster / "ended.json").rename(cluster / "jobs.json")
    done = puna_train(cluster, "watch", "mnist")
    assert done.returncode == 0, done.stderr
    assert "the server is away" in done.stdout
    assert done.stdout.endswith("Complete\n")


@pytest.mark.parametrize("command", [("logs", "--follow"), ("watch",)])
def test_a_run_that_is_not_there_is_not_waited_for(cluster: Path, command: tuple[str, ...]) -> None:
    done = puna_train(cluster, *command, "nobody")
    assert done.returncode == 1
    assert "there is no TrainingJob nobody" in done.stderr

"""`make demo`, which is `puna demo`: what a new user sees first."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from puna_cli.bundled import bundled
from puna_cli.demo import EXAMPLE
from puna_cli.model import TERMS
from tests.cluster import CommandHome, command_home, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.model]


@pytest.fixture(scope="module")
def demo_home() -> Iterator[CommandHome]:
    """A state folder in which the demo runs."""
    with command_home() as home:
        yield home


def test_a_real_model_answers_and_the_user_is_told_how_to_go_on(demo_home: CommandHome) -> None:
    done = demo_home.puna("demo", "--name=demo", seconds=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told = re.search(r"(\d+) tokens, (\d+) tokens/s, first token after (\d+) ms", done.stdout)
    assert told is not None, done.stdout
    assert int(told[1]) > 3
    for line in ("puna chat --name demo chat\n", "puna down --name demo\n", TERMS):
        assert line in done.stdout


def test_the_second_run_changes_nothing_and_answers_again(demo_home: CommandHome) -> None:
    again = demo_home.puna("demo", "--name=demo", seconds=120)
    assert again.returncode == 0, f"{again.stdout}\n{again.stderr}"
    assert again.stdout.count("already up") == 2
    assert "tokens/s" in again.stdout


def test_the_other_preset_answers_alike_every_time(demo_home: CommandHome) -> None:
    arguments = ("chat", "--name=demo", "--max-tokens=12", "chat:precise", "Name a colour.")
    first, second = (demo_home.puna(*arguments) for _ in range(2))
    assert first.returncode == 0, first.stderr
    text = [done.stdout.splitlines()[0] for done in (first, second)]
    assert text[0] == text[1] != ""


def test_an_endpoint_that_is_not_there_is_refused_by_name(demo_home: CommandHome) -> None:
    done = demo_home.puna("chat", "--name=demo", "nobody", "Hello")
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_that_was_down_answers_as_soon_as_a_new_one(demo_home: CommandHome) -> None:
    for _ in range(3):
        assert demo_home.puna("down", "--name=demo").returncode == 0
        again = demo_home.puna("demo", "--name=demo", seconds=120)
        assert again.returncode == 0, f"{again.stdout}\n{again.stderr}"
        assert "CrashLoop" not in again.stdout
    pods = demo_home.cluster("demo").kubectl("get", "pods", "--no-headers")
    # NAME READY STATUS RESTARTS AGE
    assert {line.split()[3] for line in pods.splitlines()} == {"0"}


def test_deleting_the_example_leaves_no_pod_and_no_router(demo_home: CommandHome) -> None:
    cluster = demo_home.cluster("demo")
    example = bundled(f"examples/{EXAMPLE}", f"examples/{EXAMPLE}")
    cluster.kubectl("delete", "-f", str(example / "endpoint.yaml"), seconds=90)

    def gone() -> bool | None:
        left = cluster.kubectl(
            *("get", "pods,deployments,services,configmaps,secrets,pvc", "-n", "default"),
            *("-l", "app.kubernetes.io/managed-by=puna", "-o", "name"),
        )
        return not left.strip() or None

    eventually(gone, seconds=60, what="children of the example to go")
    answer = httpx.get(f"{cluster.front}/v1/models", trust_env=False)
    assert answer.status_code == 503
    assert answer.json()["error"]["reason"] == "NoRouter"


def test_down_ends_the_demo(demo_home: CommandHome) -> None:
    assert demo_home.puna("down", "--name=demo").returncode == 0
    assert demo_home.puna("status", "--name=demo").returncode == 3

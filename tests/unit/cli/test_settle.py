from __future__ import annotations

import pytest

from puna_cli.cluster.ports import choose, choose_front, front_candidates
from puna_cli.cluster.settle import UpOptions, settle
from puna_cli.cluster.state import ClusterState, Ports
from puna_cli.errors import CommandError

STORED = ClusterState(
    name="puna",
    ports=Ports(etcd=1, etcd_peer=2, api=3, agent=4, operator=5, front=18080),
    models_folders=("/models",),
)
EVERYTHING = ("etcd", "apiserver", "agent", "operator", "front")


def settled(
    stored: ClusterState | None,
    options: UpOptions,
    *,
    running: tuple[str, ...] = (),
    taken: tuple[int, ...] = (),
) -> ClusterState:
    return settle(
        stored,
        options,
        running=running,
        is_free=lambda port: port not in taken,
        shuffled=range(100, 200),
        default_accelerator="cpu",
        default_models_folder="/home/models",
    )


def test_a_new_cluster_gets_free_ports_and_the_defaults() -> None:
    expected = ClusterState(
        name="puna",
        ports=Ports(etcd=100, etcd_peer=102, api=103, agent=104, operator=105, front=18081),
        models_folders=("/home/models",),
    )
    assert settled(None, UpOptions(), taken=(101, 18080)) == expected


def test_a_cluster_that_runs_keeps_everything() -> None:
    busy = (1, 2, 3, 4, 5, 18080)
    assert settled(STORED, UpOptions(), running=EVERYTHING, taken=busy) == STORED


def test_a_stopped_cluster_moves_only_the_ports_that_others_have_taken() -> None:
    moved = settled(STORED, UpOptions(), taken=(3, 18080))
    assert moved.ports == STORED.ports.model_copy(update={"api": 100, "front": 18081})


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with pytest.raises(CommandError, match="--port 9000: another process has this port"):
        settled(None, UpOptions(port=9000), taken=(9000,))


def test_a_running_front_moves_to_the_port_that_is_asked_for() -> None:
    moved = settled(STORED, UpOptions(port=9000), running=EVERYTHING)
    assert moved.ports.front == 9000


def test_asking_for_the_port_that_it_has_changes_nothing() -> None:
    same = settled(STORED, UpOptions(port=18080), running=EVERYTHING, taken=(18080,))
    assert same == STORED


def test_options_replace_what_was_remembered() -> None:
    changed = settled(
        STORED, UpOptions(accelerator="cuda", models_folders=("/other",)), running=EVERYTHING
    )
    assert (changed.accelerator, changed.models_folders) == ("cuda", ("/other",))


def test_a_named_llama_server_is_remembered() -> None:
    named = settled(STORED, UpOptions(llama_server="/opt/llama-server"), running=EVERYTHING)
    assert settled(named, UpOptions(), running=EVERYTHING).llama_server == "/opt/llama-server"


def test_too_few_free_ports_are_an_error() -> None:
    with pytest.raises(CommandError, match="too few free ports"):
        choose(range(3), 4, lambda _: True)


def test_the_remembered_front_port_comes_before_the_first_free_one() -> None:
    assert choose_front(lambda _: True, None, 18099) == 18099
    assert choose_front(lambda port: port != 18099, None, 18099) == 18080


def test_clusters_that_start_together_try_different_front_ports_first() -> None:
    assert front_candidates("puna")[0] == 18080
    firsts = {front_candidates(name)[0] for name in ("puna", "a", "b", "c", "d")}
    assert len(firsts) == 5
    assert sorted(front_candidates("a")) == sorted(front_candidates("puna"))

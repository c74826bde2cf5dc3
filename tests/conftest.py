"""Clusters that tests share. Each starts when a test first asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import (
    CommandHome,
    ControlPlane,
    LocalCluster,
    command_home,
    start_control_plane,
    start_local_cluster,
)

BUILT = {"bench_program", "control_plane", "controlled_plane", "home", "helm", "promrules"}
"""Fixtures that need programs built from Go, which may take minutes the first time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # `make test` runs these where nothing has to wait for them.
    for item in items:
        if isinstance(item, pytest.Function) and BUILT & set(item.fixturenames):
            item.add_marker(pytest.mark.api)


def pytest_configure() -> None:
    # How long an example takes says how busy the machine is.
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    # A change is judged by what it changes: the examples are the same in every run. Others are
    # searched for with `--hypothesis-profile searching`.
    settings.register_profile("same", patient, derandomize=True)
    settings.register_profile("searching", patient, derandomize=False)
    settings.load_profile("same")
    # A terminated session ends its clusters as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with etcd alone: what is written stays as it is."""
    plane = start_control_plane(tmp_path_factory.mktemp("control-plane"))
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def controlled_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with controllers and scheduler: Deployments make Pods, owners are collected."""
    plane = start_control_plane(tmp_path_factory.mktemp("controlled-plane"), controllers=True)
    yield plane
    plane.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A fresh namespace of `control_plane`."""
    return control_plane.new_namespace()


@pytest.fixture(scope="session")
def home() -> Iterator[CommandHome]:
    """A state folder for clusters of this session."""
    with command_home(PUNA_ALLOWED_NETWORKS="127.0.0.0/8") as created:
        yield created


@pytest.fixture(scope="session")
def local_cluster(home: CommandHome) -> LocalCluster:
    """All of `puna up`."""
    return start_local_cluster(home)

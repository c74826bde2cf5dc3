"""Node agents on a real control plane."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import ControlPlane, eventually
from tests.gguf_factory import write_slow_gguf, write_tiny_gguf
from tests.node.agents import AgentProcess, Client, new_agent


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.gguf`."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_gguf(folder / "tiny.gguf")
    return folder


@pytest.fixture(scope="session")
def slow_model(models: Path) -> Path:
    """A model that is slow enough to catch a stream midway."""
    path = models / "slow.gguf"
    write_slow_gguf(path)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    path = Path(tempfile.mkdtemp(prefix="pn-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def plane(controlled_plane: ControlPlane) -> ControlPlane:
    """The control plane of all tests here."""
    return controlled_plane


@pytest.fixture
def agent(plane: ControlPlane, folder: Path, models: Path) -> Iterator[AgentProcess]:
    """An agent of one test's own, for tests that do something to it."""
    process = new_agent(plane, folder, models, name=f"node-{secrets.token_hex(3)}")
    process.start()
    process.wait_ready()
    yield process
    process.end()


@pytest.fixture(scope="session")
def shared_agent(plane: ControlPlane, models: Path) -> Iterator[AgentProcess]:
    """An agent for tests that only give it Pods."""
    path = Path(tempfile.mkdtemp(prefix="pn-"))
    process = new_agent(plane, path, models, name="node-shared")
    process.start()
    process.wait_ready()
    yield process
    process.end()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ns(plane: ControlPlane) -> Iterator[str]:
    """A namespace of its own, whose Pods end with the test."""
    name = plane.new_namespace()
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: plane.get(account), what="the default ServiceAccount")
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def client(plane: ControlPlane, ns: str) -> Client:
    """Reader of the test's namespace."""
    return Client(plane, ns)

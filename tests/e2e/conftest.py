"""One whole cluster for all tests of this folder, and a namespace of it for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import CommandHome, LocalCluster, start_local_cluster
from tests.e2e.models import Models
from tests.e2e.objects import Objects
from tests.e2e.stage import Stage

STAND_IN = Path(__file__).with_name("stand_in.py")
LAUNCHER = """#!/bin/sh
# A model file of this name asks for the stand-in, any other for the real server.
case " $* " in
*/stand-in.gguf\\ *) exec "{python}" "{stand_in}" "$@" ;;
*) exec "{python}" -m puna_node.llama_server "$@" ;;
esac
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Model files that the node may read."""
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def local_cluster(
    home: CommandHome, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> LocalCluster:
    """All of `puna up`, with a llama-server that a stand-in may take the place of."""
    launcher = tmp_path_factory.mktemp("bin") / "llama-server"
    launcher.write_text(LAUNCHER.format(python=sys.executable, stand_in=STAND_IN))
    launcher.chmod(0o755)
    return start_local_cluster(
        home, f"--models-folder={models.folder}", f"--llama-server={launcher}"
    )


@pytest.fixture(scope="session")
def objects(local_cluster: LocalCluster) -> Iterator[Objects]:
    """Objects of the cluster."""
    opened = Objects(local_cluster)
    yield opened
    opened.close()


@pytest.fixture
def stage(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Stage]:
    """A namespace of the test's own, emptied at the end."""
    made = Stage(local_cluster, objects, models, local_cluster.new_namespace("stage"))
    yield made
    made.delete_everything()

"""A whole cluster for a benchmark, with a namespace of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import command_home, start_local_cluster
from tests.e2e.conftest import LAUNCHER, STAND_IN
from tests.e2e.models import Models
from tests.e2e.objects import Objects
from tests.e2e.stage import Stage


@contextmanager
def bench_stage() -> Iterator[Stage]:
    """`puna up`, and what a test of `tests/e2e` works with."""
    with (
        tempfile.TemporaryDirectory(prefix="puna-bench-") as folder,
        command_home(PUNA_ALLOWED_NETWORKS="127.0.0.0/8") as home,
    ):
        models = Models(Path(folder) / "models")
        models.folder.mkdir()
        launcher = Path(folder) / "llama-server"
        launcher.write_text(LAUNCHER.format(python=sys.executable, stand_in=STAND_IN))
        launcher.chmod(0o755)
        cluster = start_local_cluster(
            home, f"--models-folder={models.folder}", f"--llama-server={launcher}"
        )
        objects = Objects(cluster)
        try:
            yield Stage(cluster, objects, models, cluster.new_namespace("bench"))
        finally:
            objects.close()

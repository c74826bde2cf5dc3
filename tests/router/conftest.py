from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.router.program import RouterProgram
from tests.router.served import Served
from tests.router.stub import Stubs

StartRouter = Callable[..., RouterProgram]


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    started = Stubs()
    yield started
    started.close()


@pytest.fixture
def start_router(tmp_path: Path) -> Iterator[StartRouter]:
    started: list[RouterProgram] = []

    def start(endpoints: list[Any], backends: dict[str, Any], **more: Any) -> RouterProgram:
        router = RouterProgram(tmp_path, endpoints, backends, **more)
        started.append(router)
        return router

    yield start
    for router in started:
        router.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What tests of client libraries share."""
    started = Served(tmp_path_factory.mktemp("served"))
    yield started
    started.close()

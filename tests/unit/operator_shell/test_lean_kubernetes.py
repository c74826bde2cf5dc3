from __future__ import annotations

import subprocess
import sys

import pytest


def imported(program: str) -> str:
    """What a Python of its own says, since this one has imported everything already."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_operator_starts_without_the_blocking_client() -> None:
    said = imported("import sys, puna.__main__; print('kubernetes.client' in sys.modules)")
    assert said == "False\n"


@pytest.mark.parametrize("module", ["kubernetes.client", "kubernetes.config", "kubernetes.watch"])
def test_whoever_wants_the_rest_still_gets_it(module: str) -> None:
    said = imported(f"import puna.cluster.lean_kubernetes, {module} as rest; print(rest.__name__)")
    assert said == f"{module}\n"

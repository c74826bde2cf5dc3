from __future__ import annotations

import sys
from pathlib import Path

import pytest

from puna_cli.cluster.host import (
    accelerator_count,
    code_of,
    default_accelerator,
    find_envoy,
    find_llama_server,
)
from puna_cli.errors import CommandError


def program(path: Path, text: str = "") -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_mac_has_metal_and_cuda_has_to_be_asked_for() -> None:
    assert default_accelerator("darwin") == "metal"
    assert default_accelerator("linux") == "cpu"


def test_gpus_are_counted_as_nvidia_smi_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "nvidia-smi", "echo 'GPU 0: L4 (UUID: a)'; echo 'GPU 1: L4 (UUID: b)'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerator_count("cuda") == 2
    assert accelerator_count("cpu") == 0


def test_cuda_without_a_driver_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="--accelerator cuda: nvidia-smi does not work here"):
        accelerator_count("cuda")


def test_a_llama_server_is_the_given_one_else_the_one_on_path_else_our_own(tmp_path: Path) -> None:
    found = program(tmp_path / "llama-server")
    given = program(tmp_path / "mine")
    path = {"PATH": str(tmp_path)}
    assert find_llama_server(str(given), path) == (str(given),)
    assert find_llama_server(None, path) == (str(found),)
    own = (sys.executable, "-P", "-m", "puna_node.llama_server")
    assert find_llama_server(None, {"PATH": str(tmp_path / "none")}) == own


def test_a_llama_server_that_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--llama-server .*none: no executable file"):
        find_llama_server(str(tmp_path / "none"), {})


def test_envoy_comes_with_its_package() -> None:
    assert Path(find_envoy()).name == "envoy"


def test_the_code_of_a_package_is_all_its_modules() -> None:
    names = {path.name for path in code_of("puna_cli", "front")}
    assert {"__main__.py", "envoy.py", "routers.py", "volumes.py"} <= names

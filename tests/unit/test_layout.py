"""`operator/` is a source root: as a package it would shadow the standard library's `operator`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"puna", "puna_cli", "puna_fetch", "puna_node", "puna_router"}


def test_the_source_root_holds_packages_only() -> None:
    entries = {path.name for path in (ROOT / "operator").iterdir()} - {"README.md", "__pycache__"}
    assert entries == PACKAGES


def test_every_package_is_typed_and_says_what_it_is() -> None:
    for package in PACKAGES:
        folder = ROOT / "operator" / package
        assert (folder / "py.typed").is_file()
        assert (folder / "__init__.py").read_text(encoding="utf-8").startswith('"""')


def test_python_finds_its_own_operator_module_from_the_repository() -> None:
    code = "import operator; assert operator.__file__.startswith(__import__('os').__file__[:-5])"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


def test_no_test_folder_shadows_it_either() -> None:
    assert not list((ROOT / "tests").glob("**/operator"))


def test_every_module_of_a_package_is_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in (ROOT / "operator" / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}, "look for a second noun"

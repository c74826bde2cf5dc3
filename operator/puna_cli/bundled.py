"""Files that lie beside the code: in the checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from puna_cli.errors import CommandError


def bundled(packaged: str, checkout: str) -> Path:
    """A folder, by its path in the installed package or in a checkout of the repository.

    Raises:
        CommandError: neither is there.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / packaged, package.parents[1] / checkout)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise CommandError(f"neither {candidates[0]} nor {candidates[1]} is there: reinstall puna")

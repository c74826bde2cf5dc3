"""Credentials: from the environment, or from the files of a mounted Secret; shown in no message."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from puna_trainer.storage.faults import unusable

FOLDER_VARIABLE: Final = "PUNA_CREDENTIALS_DIRECTORY"
"""Environment variable that names the folder of a mounted Secret."""
KEYS: Final = (
    "token",
    "username",
    "password",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "HF_ENDPOINT",
    "HF_TOKEN",
)
"""Files that are looked for in the folder; those in capitals are also environment variables."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a source is shown."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, key: str) -> str | None:
        """Return the value of a key, if there is one."""
        return self.values.get(key)

    @property
    def authorization(self) -> str | None:
        """Header of that name for a web server."""
        values = self.values
        if "token" in values:
            return f"Bearer {values['token']}"
        if "username" in values and "password" in values:
            pair = f"{values['username']}:{values['password']}"
            return "Basic " + base64.b64encode(pair.encode()).decode()
        return None


def read_credentials(environment: Mapping[str, str]) -> Credentials:
    """Return the credentials that the environment holds or leads to; the folder's win.

    Raises:
        TrainingError: BadConfig, the folder cannot be read.
    """
    values = {key: environment[key] for key in KEYS if key.isupper() and environment.get(key)}
    folder = environment.get(FOLDER_VARIABLE)
    if folder:
        if not Path(folder).is_dir():
            raise unusable(f"{FOLDER_VARIABLE}: {folder} is no folder")
        for key in KEYS:
            value = _read(Path(folder) / key)
            if value is not None:
                values[key] = value
    return Credentials(values)


def _read(path: Path) -> str | None:
    try:
        value = path.read_text("utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(f"credentials: the file {path.name} cannot be read as text") from error
    if not value or not value.isprintable() or not value.isascii():
        raise unusable(
            f"credentials: the file {path.name} is empty or holds characters that do not print"
        )
    return value

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
VARIABLES: Final = {
    "token": None,
    "username": None,
    "password": None,
    "accessKeyId": "AWS_ACCESS_KEY_ID",
    "secretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "sessionToken": "AWS_SESSION_TOKEN",
    "region": "AWS_REGION",
    "endpoint": "AWS_ENDPOINT_URL",
    "hubToken": "HF_TOKEN",
    "hubEndpoint": "HF_ENDPOINT",
}
"""Keys of a Secret, and the environment variables that stand for them where there is no Secret.

`token` is for web servers and for the hub; that of the environment for the hub alone.
"""


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
    """Return the credentials that the environment holds or leads to; those of the folder win.

    Raises:
        TrainingError: BadConfig, the folder cannot be read.
    """
    values = {
        key: environment[variable]
        for key, variable in VARIABLES.items()
        if variable is not None and environment.get(variable)
    }
    folder = environment.get(FOLDER_VARIABLE)
    if folder:
        if not Path(folder).is_dir():
            raise unusable(f"{FOLDER_VARIABLE}: {folder} is no folder")
        for key in VARIABLES:
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

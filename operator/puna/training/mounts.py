"""Mount paths of a training Pod.

A node agent finds them in command lines, variables and `run.json`, and puts folders of its host in
their place: so none of them is a word that a user's text may hold.
"""

from __future__ import annotations

from typing import Final

RUN_MOUNT: Final = "/run/puna"
RUN_FILE: Final = "run.json"
OUTPUT_MOUNT: Final = "/var/lib/puna/output"
DATASET_MOUNT: Final = "/var/lib/puna/dataset"
MODEL_MOUNT: Final = "/var/lib/puna/model"
CREDENTIALS_MOUNT: Final = "/etc/puna/credentials"

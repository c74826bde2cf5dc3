"""Reading of `run.json`: a run that can be carried out, or one sentence why it cannot.

Needs none of the trainer's libraries: what is wrong with a run is said at once.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from puna_trainer.config.refusals import refusals
from puna_trainer.config.run import Run, read_run
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason


def read_file(path: Path) -> Run:
    """Return the run that a file describes.

    Raises:
        TrainingError: BadConfig, naming the field.
    """
    try:
        return read_run(path.read_bytes())
    except OSError as error:
        raise TrainingError(
            FailureReason.BAD_CONFIG, f"{path}: cannot be read: {error.strerror or error}"
        ) from error
    except ValidationError as error:
        raise TrainingError(FailureReason.BAD_CONFIG, _first_of(error)) from error


def check_run(run: Run) -> None:
    """Refuse a run that cannot be carried out.

    Raises:
        TrainingError: BadConfig, naming all that stands against it.
    """
    refused = refusals(run)
    if refused:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            "; ".join(f"{refusal.field}: {refusal.message}" for refusal in refused),
        )


def _first_of(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)
    first = found[0]
    field = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
    ).removeprefix(".")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{field or 'run.json'}: {first['msg']}{more}"

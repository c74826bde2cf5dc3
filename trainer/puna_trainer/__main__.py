"""`python -m puna_trainer run.json [--device cpu]`: one run, from data to verified model files.

Also `python -m puna_trainer predict FOLDER IMAGE...`. Exit codes: `puna_trainer.exits`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from puna_trainer.config.run import Device, Run, read_run
from puna_trainer.errors import TrainingError
from puna_trainer.execute import execute
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.failures import failure_of
from puna_trainer.images.predict import predict_files
from puna_trainer.progress import Result
from puna_trainer.reporting.termination import write_termination
from puna_trainer.stop import StopSignal

LOG: Final = logging.getLogger("puna_trainer")
PREDICT: Final = "predict"


def main() -> NoReturn:
    """Run the program."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="puna-trainer: %(levelname)s: %(message)s"
    )
    arguments = sys.argv[1:]
    if arguments[:1] == [PREDICT]:
        sys.exit(predict(arguments[1:]))
    sys.exit(train(arguments))


def train(arguments: Sequence[str]) -> int:
    """Carry out the run that a file describes; the exit code."""
    parser = argparse.ArgumentParser("puna-trainer", description="Train what a run.json describes.")
    parser.add_argument("run", type=Path, help="the run: a document of JSON")
    parser.add_argument("--device", type=Device, choices=list(Device), help="where to compute")
    asked = parser.parse_args(arguments)
    stop = StopSignal()
    stop.listen()
    try:
        run = _read(asked.run)
    except TrainingError as failure:
        LOG.error(failure.message)  # noqa: TRY400 - the sentence says it all
        result = Result(
            exit_code=EXIT_OF[failure.reason], reason=failure.reason, message=failure.message
        )
    else:
        chosen = run.model_copy(update={"device": asked.device}) if asked.device else run
        result = execute(chosen, os.environ, stop)
    try:
        write_termination(result, os.environ)
    except OSError as error:
        LOG.warning(f"the termination log cannot be written: {error}")
    return result.exit_code


def predict(arguments: Sequence[str]) -> int:
    """Tell the classes of images; the exit code."""
    parser = argparse.ArgumentParser(
        "puna-trainer predict", description="Tell which class images belong to, one line each."
    )
    parser.add_argument("folder", type=Path, help="output folder of a run, or its export")
    parser.add_argument("images", type=Path, nargs="+", help="files of images")
    asked = parser.parse_args(arguments)
    try:
        for prediction in predict_files(asked.folder, asked.images):
            print(prediction.model_dump_json(by_alias=True))  # noqa: T201
    except TrainingError as failure:
        LOG.error(failure.message)  # noqa: TRY400 - the sentence says it all
        return EXIT_OF[failure.reason]
    return Exit.DONE


def _read(path: Path) -> Run:
    try:
        return read_run(path.read_bytes())
    except OSError as error:
        raise TrainingError(
            FailureReason.BAD_CONFIG, f"{path}: cannot be read: {error.strerror or error}"
        ) from error
    except ValidationError as error:
        raise failure_of(error) or error from error


if __name__ == "__main__":
    main()

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

from puna_trainer.config.run import Device, Run
from puna_trainer.errors import TrainingError
from puna_trainer.exits import EXIT_OF, Exit
from puna_trainer.progress import Result
from puna_trainer.reading import check_run, read_file
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
        run = read_file(asked.run)
        chosen = run.model_copy(update={"device": asked.device}) if asked.device else run
        check_run(chosen)
    except TrainingError as failure:
        LOG.error(failure.message)  # noqa: TRY400 - the sentence says it all
        result = Result(
            exit_code=EXIT_OF[failure.reason], reason=failure.reason, message=failure.message
        )
    else:
        result = _carry_out(chosen, stop)
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
    from puna_trainer.images.predict import predict_files  # noqa: PLC0415 - takes seconds

    try:
        for prediction in predict_files(asked.folder, asked.images):
            print(prediction.model_dump_json(by_alias=True))  # noqa: T201
    except TrainingError as failure:
        LOG.error(failure.message)  # noqa: TRY400 - the sentence says it all
        return EXIT_OF[failure.reason]
    return Exit.DONE


def _carry_out(run: Run, stop: StopSignal) -> Result:
    # Takes seconds, hence after everything that can be refused without it.
    from puna_trainer.execute import execute  # noqa: PLC0415

    return execute(run, os.environ, stop)


if __name__ == "__main__":
    main()

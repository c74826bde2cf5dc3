"""Execution of a run: one process from a `Run` to its `Result`, whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from puna_trainer.checkpoint.lock import attempt_of, hold
from puna_trainer.config.output import StageName
from puna_trainer.config.run import Run
from puna_trainer.device import check_precision, choose_device
from puna_trainer.distributed import Look, join
from puna_trainer.errors import Interrupted
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.export.requirements import require_llama
from puna_trainer.failures import failure_of
from puna_trainer.hashes import code_hash, config_hash
from puna_trainer.pipeline import run_stages
from puna_trainer.progress import Hashes, Result
from puna_trainer.randomness import seed_everything
from puna_trainer.reading import check_run
from puna_trainer.reporting.page import write_page
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.reporting.termination import write_result
from puna_trainer.stage import StageContext
from puna_trainer.stages import STAGES
from puna_trainer.stop import StopSignal

LOG: Final = logging.getLogger(__name__)
RUN_NAME: Final = "run.json"


def execute(run: Run, environment: Mapping[str, str], stop: StopSignal) -> Result:
    """Carry out a run. Its first process alone writes progress, logs and `result.json`."""
    folder = Path(run.output_directory)
    reporter = Reporter(run, None, write=_nowhere, clock=time.monotonic)
    with ExitStack() as opened:
        try:
            check_run(run)
            if StageName.EXPORT in run.stage_names():
                require_llama(run.export)
            device = choose_device(run.device, environment)
            check_precision(run.hyperparameters.precision, device)
            group = join(environment, folder, device, _look(run, stop))
            opened.callback(group.leave)
            if group.is_first:
                opened.enter_context(hold(folder, attempt_of(environment)))
                reporter = Reporter(run, folder / "logs", write=_print, clock=time.monotonic)
                reporter.hashes = Hashes(config=config_hash(run), code=code_hash())
                opened.callback(reporter.close)
                (folder / RUN_NAME).write_text(_document(run), encoding="utf-8")
            group.wait()
            seed_everything(
                run.hyperparameters.seed, device, deterministic=run.hyperparameters.deterministic
            )
            context = StageContext(run, folder, device, reporter, stop, group, inputs="")
            run_stages(context, STAGES[run.task])
            result = reporter.result(Exit.DONE)
        except Interrupted:
            result = reporter.result(Exit.INTERRUPTED, message="stopped by a signal; all is saved")
        except Exception as error:  # noqa: BLE001 - the last word of the process
            result = failed(reporter, error)
        if reporter.keeps_logs:
            _leave(run, folder, reporter, result)
    return result


def failed(reporter: Reporter, error: Exception) -> Result:
    """Return the result that an exception means; one that nobody foresaw is logged as it is."""
    failure = failure_of(error)
    if failure is None:
        LOG.error("nobody foresaw this", exc_info=error)
        message = f"{type(error).__name__}: {error}; the log holds its traceback"
        return reporter.result(Exit.BUG, FailureReason.BUG, message)
    LOG.error(failure.message)
    return reporter.result(EXIT_OF[failure.reason], failure.reason, failure.message)


def _look(run: Run, stop: StopSignal) -> Look:
    """Return what processes that wait for each other do: all hear the signal, the first tells."""
    reporter = Reporter(run, None, write=_print, clock=time.monotonic)

    def look(rank: int, message: str) -> None:
        stop.check()
        if rank == 0:
            reporter.before(run.stage_names()[0], message)

    return look


def _leave(run: Run, folder: Path, reporter: Reporter, result: Result) -> None:
    """Close the logs, and write `result.json` and `report.html`, each if that is possible.

    How the run ended is decided: a page that cannot be made changes nothing about it.
    """
    for name, write in (
        ("logs", reporter.close),
        ("result.json", partial(write_result, result, folder)),
        ("report.html", partial(write_page, run, folder, result)),
    ):
        try:
            write()
        except OSError as error:
            LOG.error(f"{name} cannot be written: {error}")  # noqa: TRY400 - said whole
        except Exception:
            LOG.exception(f"{name} cannot be written")


def _document(run: Run) -> str:
    return run.model_dump_json(by_alias=True, exclude_defaults=True, indent=1) + "\n"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _nowhere(_line: str) -> None:
    pass

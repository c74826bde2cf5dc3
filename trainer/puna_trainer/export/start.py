"""Start: what the files of a run cannot hold of `model.uri`, found before anything is learned."""

from __future__ import annotations

from puna_trainer.config.output import StageName
from puna_trainer.config.refusals import shape_refusals
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.trained import read_vocabulary
from puna_trainer.language.hub_layout import FIELD, fetch_start, read_shape
from puna_trainer.stage import StageContext, StageFunction


def holding_start(function: StageFunction) -> StageFunction:
    """Return a stage that first looks whether the model to start from can be exported."""

    def checked(context: StageContext) -> None:
        if context.group.is_first:
            check_start(context)
        function(context)

    return checked


def check_start(context: StageContext) -> None:
    """Refuse a model to start from that the files which are asked for cannot hold.

    Raises:
        TrainingError: BadConfig, its shape or its tokenizer cannot go into them; or it cannot be
            had.
        Interrupted: SIGTERM came.
    """
    run = context.run
    if run.model.uri is None or StageName.EXPORT not in run.stage_names():
        return

    def tell(message: str) -> None:
        context.stop.check()
        context.reporter.message(message)

    start = fetch_start(run.model.uri, context.folder, tell)
    shape = read_shape(start)
    for refusal in shape_refusals(shape, run.export.types):
        raise _refused(f"{refusal.field}: {refusal.message}")
    if not (start / "tokenizer.json").is_file():
        return  # the stage that takes it says so
    try:
        read_vocabulary(start, rows=shape.vocabulary_size)
    except TrainingError as failure:
        raise _refused(failure.message) from failure


def _refused(problem: str) -> TrainingError:
    return TrainingError(
        FailureReason.BAD_CONFIG,
        f"{FIELD}: {problem}; start from another model, or leave out the stage export",
    )

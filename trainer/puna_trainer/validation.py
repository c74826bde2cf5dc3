"""Validation: what it does beside measuring, whatever is trained.

It takes as long as many steps, hence it says how far it is and hears the signal. Whoever leaves it
loses nothing: the checkpoint of its step was written before, and a run that is resumed there does
it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from puna_trainer.errors import Interrupted
from puna_trainer.stage import StageContext

Look: TypeAlias = Callable[[int, int], None]
"""Is told before each part how many examples are done, and of how many; it may raise to end it, in
all processes alike."""


def look_of(context: StageContext, examples: str) -> Look:
    """Return what a validation calls before each of its parts, in all processes equally often.

    Args:
        context: Of the stage that validates.
        examples: What is measured, in the plural.
    """
    return partial(_look, context, examples)


def _look(context: StageContext, examples: str, done: int, count: int) -> None:
    """Say how far a validation is, and leave it if any process was asked to end.

    Raises:
        Interrupted: one was; all raise it before the same part.
    """
    if context.group.any(flag=context.stop.requested):
        raise Interrupted
    context.reporter.message(f"validating: {done} of {count} {examples}")

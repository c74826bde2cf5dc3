"""Images alone: parts of batches that batch normalisation cannot learn from. Pure.

It compares the values of a channel; where a network sees a small image as one pixel in the end, a
part of a batch has to be two images.
"""

from __future__ import annotations

from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.model import ImageModel
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.images.models import RESNET_PIXEL, Description
from puna_trainer.images.splits import part_count


def check_parts(
    wanted: Description, examples: int, chosen: Hyperparameters, *, total_steps: int, processes: int
) -> None:
    """Refuse batches of which a part is one image alone, if the network cannot learn from it.

    Args:
        wanted: The network.
        examples: Training images.
        chosen: How they are learned from.
        total_steps: Steps of the run; it may end before the last batch of an epoch.
        processes: How many there are.

    Raises:
        TrainingError: BadConfig, with a size of batches that leaves none alone.
    """
    if wanted.name is not ImageModel.RESNET18 or max(wanted.height, wanted.width) > RESNET_PIXEL:
        return
    parts = part_count(chosen.accumulation_steps, processes)
    if not _leaves_one(examples, chosen.batch_size, parts, total_steps):
        return
    sizes = range(chosen.accumulation_steps, examples + chosen.accumulation_steps)
    fitting = [
        size
        for size in sizes[:: chosen.accumulation_steps]
        if not _leaves_one(examples, size, parts, total_steps)
    ]
    nearest = min(fitting, key=lambda size: abs(size - chosen.batch_size), default=None)
    raise TrainingError(
        FailureReason.BAD_CONFIG,
        f"hyperparameters.batchSize: with {chosen.batch_size} a part of a batch is one image alone "
        f"(training images: {examples}, parts of a batch: {parts}), and {wanted.name} cannot learn "
        f"from one of {wanted.width} x {wanted.height} pixels; "
        + (f"use {nearest}" if nearest else "use fewer accumulationSteps or processes"),
    )


def _leaves_one(examples: int, batch_size: int, parts: int, total_steps: int) -> bool:
    """Return whether a part of any batch that is taken is one image."""
    batches = -(-examples // batch_size)
    last = examples - (batches - 1) * batch_size
    taken = [batch_size] * (batches > 1) + [last] * (total_steps >= batches)
    return any(0 < count < 2 * parts for count in taken)

"""Splits of a dataset among processes, and where their images lie."""

from __future__ import annotations

import math

import torch

from puna_trainer.data.images import ImageSplit
from puna_trainer.distributed import ProcessGroup


def share(split: ImageSplit, group: ProcessGroup) -> ImageSplit:
    """Return what this process looks at, of all that look at the images together."""
    own = slice(group.rank, None, group.size)
    return ImageSplit(split.images_NCHW[own], split.labels_N[own])


def part_count(accumulation_steps: int, processes: int) -> int:
    """Return in how many parts a batch is computed, over all processes. Pure."""
    return math.lcm(accumulation_steps, processes)


def parts_of(count: int, accumulation_steps: int, group: ProcessGroup) -> list[slice]:
    """Return which parts of a batch this process computes, one after the other. Pure.

    There are as many parts as are asked for, and as many for each process as for any other. Where
    the processes divide the parts, one process computes the same parts as several do.
    """
    parts = part_count(accumulation_steps, group.size)
    ends = [count * part // parts for part in range(parts + 1)]
    return [slice(ends[part], ends[part + 1]) for part in range(group.rank, parts, group.size)]


def resident(split: ImageSplit, device: torch.device) -> ImageSplit:
    """Return the images on the device, if they take less than half of the memory that it has left.

    Images that lie there need not be moved in each step.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if split.images_NCHW.nbytes >= free // 2:
            return split
    return ImageSplit(split.images_NCHW.to(device), split.labels_N.to(device))

"""Recorded steps: what a GPU does in a step, recorded once and replayed by one call.

A small network keeps a GPU busy for less time than it takes to ask for each of its operations; a
recorded step (a CUDA graph) asks once. It learns what the step itself would, to 1e-5 of the loss
over 30 steps; a run on a GPU that is resumed is not the same to the bit, why is not known
(tests/trainer/test_cuda.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

WARM_STEPS: Final = 3
"""Steps before the recording, which allocate what is allocated once."""

Learn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A step: numbers of images (N,) and what was drawn for them (N, D), to loss and gradient norm."""


def can_record(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, *, processes: int
) -> bool:
    """Return whether steps over these images can be recorded.

    The images have to lie on the GPU, and the rule must decide there whether it takes a step.
    Networks with batch normalisation are left out: a recorded resnet18 learned otherwise than one
    that was asked step by step, and why is not known.
    """
    return (
        images.is_cuda
        and processes == 1
        and isinstance(optimizer, torch.optim.AdamW)
        and not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    )


class RecordedStep:
    """A step that is carried out a few times, recorded, and replayed from then on."""

    def __init__(
        self, learn: Learn, optimizer: torch.optim.Optimizer, numbers_N: Tensor, drawn_ND: Tensor
    ) -> None:
        """Prepare the recording.

        Args:
            learn: The step; all that it reads lies on the GPU, and it waits for nothing.
            optimizer: The rule that it ends with; its rate becomes a number on the GPU.
            numbers_N: Numbers of a whole batch, on the GPU; smaller ones are not recorded.
            drawn_ND: What is drawn for a whole batch.
        """
        device = numbers_N.device
        self._learn = learn
        self._numbers_N = numbers_N.clone()
        self._drawn_ND = drawn_ND.to(device, copy=True)
        self._stream = torch.cuda.Stream(device)
        self._warm_steps = WARM_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._told: tuple[Tensor, Tensor] | None = None
        for group in optimizer.param_groups:
            group["capturable"] = True
            group["lr"] = torch.tensor(float(group["lr"]), device=device)

    @property
    def is_recorded(self) -> bool:
        """Whether steps are replayed by now."""
        return self._graph is not None

    def __call__(self, numbers_N: Tensor, drawn_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step."""
        if len(numbers_N) != len(self._numbers_N):
            return self._learn(numbers_N, drawn_ND)
        if self._warm_steps:
            self._warm_steps -= 1
            return self._aside(numbers_N, drawn_ND)
        self._numbers_N.copy_(numbers_N)
        self._drawn_ND.copy_(drawn_ND)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._told = self._learn(self._numbers_N, self._drawn_ND)
        assert self._told is not None  # noqa: S101 - it was recorded
        self._graph.replay()
        loss, norm = self._told
        return loss.clone(), norm.clone()

    def _aside(self, numbers_N: Tensor, drawn_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step where it will be recorded."""
        present = torch.cuda.current_stream(numbers_N.device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            told = self._learn(numbers_N, drawn_ND)
        present.wait_stream(self._stream)
        return told

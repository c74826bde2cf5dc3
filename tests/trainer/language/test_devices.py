"""Devices that have no numbers of 64 bits (Metal): none are made there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from puna_trainer.distributed import ProcessGroup
from puna_trainer.language.generate import Sampler
from puna_trainer.language.loss import mean_loss
from puna_trainer.language.model import Llama
from tests.trainer.language.shapes import shape

META = torch.device("meta")
"""A device without numbers: nothing gets off it, so that all that is computed is computed there."""


class Types(TorchDispatchMode):
    """Notes in which types something is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        self.seen |= {leaf.dtype for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)}
        return found


def test_a_validation_makes_no_numbers_of_64_bits() -> None:
    with Types() as types:
        loss = mean_loss(
            Llama(shape()),
            np.arange(200, dtype=np.uint16),
            48,
            sequences=2,
            device=torch.device("cpu"),
            dtype=torch.float32,
            group=ProcessGroup(),
        )
    assert loss > 0
    assert torch.float32 in types.seen
    assert torch.float64 not in types.seen


def test_a_choice_of_a_token_makes_no_numbers_of_64_bits_on_the_models_device() -> None:
    choose = Sampler(0.8, torch.Generator())
    with Types() as types, pytest.raises(NotImplementedError, match="meta tensor"):
        choose(torch.zeros(320, device=META))
    assert torch.float64 not in types.seen

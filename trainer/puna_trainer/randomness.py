"""Randomness: one seed for everything, and the states that a resumed run takes up again.

What a step draws is a function of the seed and of the step's place (`derived_seed`), so that a
resumed run, and one with more processes, draws the same. The states of the global generators are
kept as well: a library may draw from them.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


def derived_seed(seed: int, *place: str | int) -> int:
    """Return a seed of 63 bits for one purpose and place, for example ("order", epoch)."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *place: str | int) -> torch.Generator:
    """Return a generator on the CPU for one purpose and place."""
    return torch.Generator().manual_seed(derived_seed(seed, *place))


def seed_everything(seed: int, device: torch.device, *, deterministic: bool) -> None:
    """Seed all global generators; choose deterministic algorithms if asked for.

    Metal has none for some operations, hence there they are only preferred.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global one
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic, warn_only=device.type == "mps")
    # It would write to all memory before it is used; nothing here reads what nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic


@dataclass(frozen=True, slots=True)
class RandomStates:
    """States of all global generators."""

    python: Any
    numpy: Any
    processor: torch.Tensor
    device: torch.Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> RandomStates:
        """Return the states of now."""
        return cls(
            python=random.getstate(),
            numpy=np.random.get_state(legacy=False),  # noqa: NPY002 - the global one
            processor=torch.get_rng_state(),
            device=_device_state(device),
        )

    def restore(self, device: torch.device) -> None:
        """Put all generators back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - the global one
        torch.set_rng_state(self.processor)
        if self.device is None:
            return
        if device.type == "cuda":
            torch.cuda.set_rng_state(self.device, device)
        elif device.type == "mps":
            torch.mps.set_rng_state(self.device)


def _device_state(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    if device.type == "mps":
        return torch.mps.get_rng_state()
    return None

"""Pools of servers: what hardware, how many, and what each may use."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import DNS_1035, LABEL_VALUE, Model, Quantity, Rule

Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]],
    Field(max_length=32),
]


class Accelerator(StrEnum):
    """Kind of hardware; it chooses image, arguments, resources and nodes."""

    CPU = "cpu"
    METAL = "metal"
    CUDA = "cuda"


class Resources(Model):
    """Compute resources of one llama-server."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What the scheduler sets aside."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What a server may use at most."""


class Pool(Model):
    """Servers on one kind of hardware."""

    name: Annotated[str, Field(pattern=DNS_1035, min_length=1, max_length=12)]
    """Name of the pool, part of its Pods' names."""
    accelerator: Accelerator
    """Kind of hardware."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Servers in this pool."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Accelerators of each server (cuda, metal)."""
    resources: Resources = Resources()
    """Compute resources of each server."""
    node_selector: Labels = Field(default_factory=dict)
    """Further labels that a node must have."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.accelerator != 'cpu' || !has(self.acceleratorCount) "
            "|| self.acceleratorCount == 1",
            "a cpu pool has none",
            ".acceleratorCount",
        ),
    )

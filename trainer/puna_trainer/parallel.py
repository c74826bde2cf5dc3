"""Parallel models: one model in all processes, either whole in each or in shards over them.

Gradients are averages over the processes either way: a process that divides its loss by the
examples of the whole batch has to multiply it by the number of processes. States are those of the
bare model on its processor, whole, whatever the processes: a checkpoint does not tell how many
there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from puna_trainer.distributed import ProcessGroup


def replicate(model: nn.Module, group: ProcessGroup) -> nn.Module:
    """Return the model with gradients that are averages over all processes."""
    if group.size == 1:
        return model
    return DistributedDataParallel(model)


def shard(model: nn.Module, blocks: Sequence[nn.Module], group: ProcessGroup) -> nn.Module:
    """Spread the model's weights, gradients and optimizer over all processes (FSDP2).

    Args:
        model: The model, which is changed in place; make the optimizer after that.
        blocks: Its parts that are gathered one after the other.
        group: The processes.
    """
    if group.size == 1:
        return model
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (group.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


@contextmanager
def accumulating(model: nn.Module, *, last: bool) -> Iterator[None]:
    """Leave gradients with their process until the last part of a batch."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        yield
    elif isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
    else:
        yield


def read_states(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]:
    """Return the whole states of model and optimizer; all processes have to ask.

    The first process alone gets those of a model in shards.
    """
    if not isinstance(model, FSDPModule):
        bare = model.module if isinstance(model, DistributedDataParallel) else model
        return bare.state_dict(), optimizer.state_dict()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights: Mapping[str, Any] = get_model_state_dict(model, options=options)
    return weights, get_optimizer_state_dict(model, optimizer, options=options)


def write_states(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    model_state: Mapping[str, torch.Tensor],
    optimizer_state: Mapping[str, Any],
) -> None:
    """Put whole states back; all processes have to, with the same ones."""
    if not isinstance(model, FSDPModule):
        bare = model.module if isinstance(model, DistributedDataParallel) else model
        bare.load_state_dict(model_state)
        chosen = [_options(group) for group in optimizer.param_groups]
        optimizer.load_state_dict(dict(optimizer_state))
        for group, own in zip(optimizer.param_groups, chosen, strict=True):
            group.update(own)  # how a rule computes is of this run and device
        _lay_like_parameters(optimizer)
        return
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    set_model_state_dict(model, dict(model_state), options=options)
    set_optimizer_state_dict(model, optimizer, dict(optimizer_state), options=options)


def _options(group: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _lay_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Lay what an optimizer remembers of each number out in memory as the numbers are.

    Fused rules walk through both side by side; convolutions' weights have their channels last,
    what was read from a file has not.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def whole(norm: Tensor) -> Tensor:
    """Return a scalar that is spread over processes as one that each of them has."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm

"""A model in shards learns what a whole one does, and its state is that of a whole one."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from puna_trainer.distributed import ProcessGroup, join
from puna_trainer.parallel import accumulating, read_states, replicate, shard, write_states
from tests.trainer.processes import FORKS, LIMIT_SECONDS

CPU = torch.device("cpu")
STEPS, PARTS, BATCH = 4, 2, 8


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6), nn.Linear(6, 2))


def learn(
    network: nn.Module, optimizer: torch.optim.Optimizer, group: ProcessGroup, steps: range
) -> None:
    """Take steps; each process computes some of the parts of a batch."""
    for step in steps:
        inputs = torch.randn(BATCH, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        own = inputs.tensor_split(PARTS * group.size)[group.rank :: group.size]
        for index, part in enumerate(own):
            with accumulating(network, last=index == len(own) - 1):
                (network(part).square().sum() / BATCH * group.size).backward()
        optimizer.step()


def whole() -> dict[str, torch.Tensor]:
    network = model()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    learn(network, optimizer, ProcessGroup(), range(2 * STEPS))
    return network.state_dict()


def in_two_processes(folder: Path, how: str) -> dict[str, torch.Tensor]:
    processes = [FORKS.Process(target=_work, args=(str(folder), how, rank)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    found: dict[str, torch.Tensor] = torch.load(folder / "state.pt", weights_only=True)[0]
    return found


def _work(folder: str, how: str, rank: int) -> None:
    torch.set_num_threads(1)
    environment = {"WORLD_SIZE": "2", "RANK": str(rank)}
    group = join(environment, Path(folder), CPU)
    path = Path(folder) / "state.pt"

    network, optimizer = _built(how, group)
    learn(network, optimizer, group, range(STEPS))
    states = read_states(network, optimizer)
    if group.is_first:
        torch.save(states, path)
    group.wait()

    # The second half by others, that know the first by its states alone.
    network, optimizer = _built(how, group)
    write_states(network, optimizer, *torch.load(path, weights_only=True))
    learn(network, optimizer, group, range(STEPS, 2 * STEPS))
    states = read_states(network, optimizer)
    if group.is_first:
        torch.save(states, path)
    group.wait()
    group.leave()
    os._exit(0)


def _built(how: str, group: ProcessGroup) -> tuple[nn.Module, torch.optim.Optimizer]:
    bare = model()
    blocks = [bare[0], bare[2]]
    network = shard(bare, blocks, group) if how == "shards" else replicate(bare, group)
    return network, torch.optim.AdamW(bare.parameters(), lr=0.01)


def test_shards_learn_what_the_whole_does(tmp_path: Path) -> None:
    found, expected = in_two_processes(tmp_path, "shards"), whole()
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_replicas_learn_what_one_does(tmp_path: Path) -> None:
    found, expected = in_two_processes(tmp_path, "replicas"), whole()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)

"""A kill, a full disk or a damaged file costs the checkpoint that was being written, no other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from puna_trainer.checkpoint.folder import MANIFEST, TENSORS, VALUES, WEIGHTS
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import read_json
from puna_trainer.randomness import RandomStates
from tests.trainer.states import CPU, is_whole, state, store

SAVE_FOR_EVER = """
import sys
from pathlib import Path
from tests.trainer.states import state, store
saved = store(Path(sys.argv[1]))
for step in range(int(sys.argv[2]), 10**9):
    saved.save(state(step, numbers=200_000), f"step_{step}")
    print(step, flush=True)
"""
SAVE_LITTLE = """
import resource, sys
from pathlib import Path
from tests.trainer.states import state, store
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
store(Path(sys.argv[1])).save(state(3, numbers=100_000), "step_3")
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = state(12)
    store(tmp_path).save(saved, "step_12")
    found = store(tmp_path).newest()
    assert found is not None
    assert found.optimizer["param_groups"] == saved.optimizer["param_groups"]
    assert torch.equal(found.optimizer["state"][0]["exp_avg"], torch.ones(2, 3))
    assert (found.step, found.epoch, found.batches) == (12, 1, 2)
    assert found.patience == saved.patience
    assert found.description == {"name": "mlp"}
    assert is_whole(found, 12)


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    store(tmp_path).save(state(1), "step_1")
    expected = (random.random(), float(np.random.rand()), float(torch.rand(())))  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    found = store(tmp_path).newest()
    assert found is not None
    found.random.restore(CPU)
    drawn = (random.random(), float(np.random.rand()), float(torch.rand(())))  # noqa: NPY002
    assert drawn == expected


def test_names_of_wrappers_are_not_saved(tmp_path: Path) -> None:
    wrapped = state(1)
    model = {"_orig_mod.module.layer.weight": wrapped.model["layer.weight"]}
    folder = store(tmp_path)
    folder.save(
        type(wrapped)(
            model=model,
            optimizer={},
            scaler={},
            step=1,
            epoch=0,
            batches=1,
            random=RandomStates.capture(CPU),
            inputs=wrapped.inputs,
        ),
        "step_1",
    )
    assert is_whole(folder.newest(), 1)


def test_the_newest_are_kept_and_the_best(tmp_path: Path) -> None:
    saved = store(tmp_path, keep=2)
    for step, metric in ((1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3), (5, 0.6)):
        note = saved.save(state(step), f"step_{step}")
        best = saved.best_note()
        if best is None or best.metric is None or metric < best.metric:
            saved.mark_best(note, metric)
    assert names(tmp_path) == {"step_2", "step_4", "step_5"}
    assert is_whole(saved.newest(), 5)
    assert is_whole(saved.best(), 2)
    assert read_json(tmp_path / "latest.json")["name"] == "step_5"
    best = saved.best_note()
    assert best is not None
    assert (best.name, best.metric) == ("step_2", 0.2)


def test_best_only_keeps_the_best_and_the_newest(tmp_path: Path) -> None:
    saved = store(tmp_path, save_best_only=True)
    for step in range(1, 5):
        note = saved.save(state(step), f"step_{step}")
        if step == 2:
            saved.mark_best(note, 0.1)
    assert names(tmp_path) == {"step_2", "step_4"}


def test_best_only_keeps_two_until_one_is_the_best(tmp_path: Path) -> None:
    saved = store(tmp_path, save_best_only=True)
    for step in (1, 2):
        saved.save(state(step), f"step_{step}")
    note = saved.save(state(3), "epoch_1")
    assert names(tmp_path) == {"step_2", "epoch_1"}
    saved.withdraw(note)  # its validation loss was no number
    assert is_whole(saved.newest(), 2)


@pytest.mark.parametrize("name", [WEIGHTS, TENSORS, VALUES, MANIFEST])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_newest_checkpoint_is_passed_over(
    tmp_path: Path, name: str, share: float
) -> None:
    saved = store(tmp_path)
    for step in (1, 2):
        saved.save(state(step), f"step_{step}")
    damaged = tmp_path / "step_2" / name
    os.truncate(damaged, int(damaged.stat().st_size * share))
    assert is_whole(saved.newest(), 1)
    saved.save(state(2), "step_2")
    assert is_whole(saved.newest(), 2)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    saved = store(tmp_path)
    for step in (1, 2):
        saved.save(state(step), f"step_{step}")
    with (tmp_path / "step_2" / WEIGHTS).open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    assert is_whole(saved.newest(), 1)


def test_a_damaged_best_checkpoint_is_replaced_by_the_newest(tmp_path: Path) -> None:
    saved = store(tmp_path)
    saved.mark_best(saved.save(state(1), "step_1"), 0.1)
    saved.save(state(2), "step_2")
    (tmp_path / "step_1" / WEIGHTS).write_bytes(b"")
    assert is_whole(saved.best(), 2)


def test_damaged_checkpoints_do_not_push_out_good_ones(tmp_path: Path) -> None:
    saved = store(tmp_path, keep=2)
    for step in (1, 2, 3):
        saved.save(state(step), f"step_{step}")
    (tmp_path / "step_3" / WEIGHTS).write_bytes(b"")
    resumed = saved.newest_note()
    assert resumed is not None
    assert resumed.name == "step_2"
    saved.save(state(2), "epoch_1")
    assert is_whole(saved.newest(), 2)
    assert names(tmp_path) == {"step_2", "epoch_1"}


def test_checkpoints_of_another_configuration_are_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    store(folder).save(state(7), "step_7")
    other = store(folder, inputs="1" * 64)
    assert other.newest() is None
    place = other.set_aside_others()
    assert place == tmp_path / "checkpoints-00000000"
    assert is_whole(store(place).newest(), 7)
    assert store(folder).newest() is None


def test_checkpoints_that_were_set_aside_stay_however_often_inputs_change(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    steps = {"checkpoints-00000000": 1000, "checkpoints-11111111": 5, "checkpoints-00000000-2": 2}
    for step, inputs, after in ((1000, "0", "1"), (5, "1", "0"), (2, "0", "1")):
        store(folder, inputs=inputs * 64).save(state(step, inputs=inputs * 64), f"step_{step}")
        store(folder, inputs=after * 64).set_aside_others()
    for name, step in steps.items():
        assert is_whole(store(tmp_path / name, inputs=name[12] * 64).newest(), step)


@pytest.mark.parametrize("limit", [1_000, 300_000])
def test_a_full_disk_loses_nothing_older(tmp_path: Path, limit: int) -> None:
    for step in (1, 2):
        store(tmp_path).save(state(step), f"step_{step}")
    ended = subprocess.run(
        [sys.executable, "-c", SAVE_LITTLE, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "enlarge the output volume" in ended.stderr
    assert names(tmp_path) == {"step_1", "step_2"}
    assert is_whole(store(tmp_path).newest(), 2)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(TrainingError) as caught:
        store(tmp_path / "checkpoints").save(state(1), "step_1")
    assert caught.value.reason is FailureReason.OUTPUT_UNUSABLE


def test_a_kill_during_any_save_leaves_a_newest_checkpoint(tmp_path: Path) -> None:
    chance = random.Random(1)
    done = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path), str(done + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        done = int(process.stdout.readline())
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        for line in process.communicate()[0].splitlines():
            done = int(line)
        found = store(tmp_path).newest()
        assert found is not None
        assert found.step >= done
        assert is_whole(found, found.step)
        done = found.step

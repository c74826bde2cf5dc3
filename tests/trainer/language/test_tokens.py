"""Token files, and the windows that steps take from them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puna_trainer.errors import Interrupted, TrainingError
from puna_trainer.language.batches import Batches, read_windows, share_of, window_count
from puna_trainer.language.codec import Codec, load_codec
from puna_trainer.language.tokenizer import save_tokenizer, train_tokenizer
from puna_trainer.language.tokens import Part, TokenFile, make_token_file
from tests.trainer.language.runs import sentences, write_data


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    tokenizer = train_tokenizer(sentences(50), vocabulary_size=300)
    save_tokenizer(tokenizer, tmp_path / "tokenizer", context_length=32)
    return load_codec(tmp_path / "tokenizer")


def made(output: Path, part: Part, codec: Codec, *, digest: str = "a") -> tuple[TokenFile, int]:
    """Return a part's token file, and how often documents were encoded for it."""
    told: list[str] = []
    file = make_token_file(
        output / "data",
        part,
        output / "tokens",
        codec,
        tokenizer_sha256=digest,
        tell=told.append,
    )
    return file, len(told)


def test_each_document_comes_after_a_separator(tmp_path: Path, codec: Codec) -> None:
    write_data(tmp_path, ["the red tree.", "blue <|endoftext|> ünd"], ["a", "b"])
    file, _ = made(tmp_path, Part.TRAIN, codec)
    ids = file.ids_N.tolist()
    starts = [index for index, token in enumerate(ids) if token == codec.separator]
    assert [codec.decode(ids[: starts[1]]), codec.decode(ids[starts[1] :])] == [
        "the red tree.",
        "blue <|endoftext|> ünd",
    ]
    assert starts[0] == 0
    assert (len(starts), file.documents, file.text_bytes) == (2, 2, 13 + 23)


def test_documents_held_back_are_shared_by_choosing_and_measuring(
    tmp_path: Path, codec: Codec
) -> None:
    write_data(tmp_path, ["x"], ["one", "two", "three"])
    chosen, _ = made(tmp_path, Part.VALIDATION, codec)
    measured, _ = made(tmp_path, Part.HELD_OUT, codec)
    assert codec.decode(chosen.ids_N.tolist()) == "onethree"
    assert codec.decode(measured.ids_N.tolist()) == "two"


def test_test_documents_of_the_dataset_are_what_is_measured(tmp_path: Path, codec: Codec) -> None:
    write_data(tmp_path, ["x"], ["one", "two"], test=["of its own"])
    chosen, _ = made(tmp_path, Part.VALIDATION, codec)
    measured, _ = made(tmp_path, Part.HELD_OUT, codec)
    assert codec.decode(chosen.ids_N.tolist()) == "onetwo"
    assert codec.decode(measured.ids_N.tolist()) == "of its own"


def test_a_file_is_made_once_and_again_for_other_data_or_another_tokenizer(
    tmp_path: Path, codec: Codec
) -> None:
    write_data(tmp_path, ["one"], ["a", "b"])
    assert [made(tmp_path, Part.TRAIN, codec)[1] for _ in range(2)] == [1, 0]
    assert made(tmp_path, Part.TRAIN, codec, digest="b")[1] == 1
    write_data(tmp_path, ["another"], ["a", "b"])
    file, times = made(tmp_path, Part.TRAIN, codec, digest="b")
    assert times == 1
    assert codec.decode(file.ids_N.tolist()) == "another"


@pytest.mark.parametrize("left", [0, 3])
def test_a_file_that_is_shorter_than_its_note_says_is_made_again(
    tmp_path: Path, codec: Codec, left: int
) -> None:
    write_data(tmp_path, ["the red tree."], ["a", "b"])
    made(tmp_path, Part.TRAIN, codec)
    os.truncate(tmp_path / "tokens" / "train.tokens", left)
    file, times = made(tmp_path, Part.TRAIN, codec)
    assert (codec.decode(file.ids_N.tolist()), times) == ("the red tree.", 1)


def test_encoding_that_was_interrupted_leaves_no_ids_of_other_data(
    tmp_path: Path, codec: Codec
) -> None:
    ours, others = ["the red tree."] * 300, ["the old river."] * 300
    write_data(tmp_path, ours, ["a", "b"])
    file, _ = made(tmp_path, Part.TRAIN, codec)
    expected = file.ids_N.tolist()
    write_data(tmp_path, others, ["a", "b"])

    def tell(message: str) -> None:
        if "0 documents" not in message:
            raise Interrupted

    with pytest.raises(Interrupted):
        make_token_file(
            tmp_path / "data",
            Part.TRAIN,
            tmp_path / "tokens",
            codec,
            tokenizer_sha256="a",
            tell=tell,
        )
    write_data(tmp_path, ours, ["a", "b"])
    assert made(tmp_path, Part.TRAIN, codec)[0].ids_N.tolist() == expected


def test_nothing_to_measure_on_is_refused(tmp_path: Path, codec: Codec) -> None:
    write_data(tmp_path, ["x"], ["the only one"])
    with pytest.raises(TrainingError, match=r"no document is left for heldout.*validationPercent"):
        made(tmp_path, Part.HELD_OUT, codec)


def test_data_that_was_not_prepared_is_named(tmp_path: Path, codec: Codec) -> None:
    with pytest.raises(TrainingError, match=r"data/train\.jsonl is not there"):
        made(tmp_path, Part.TRAIN, codec)


@given(
    windows=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 3),
    steps=st.integers(1, 12),
)
def test_each_epoch_reads_every_window_once_however_batches_lie_over_its_end(
    windows: int, batch_size: int, seed: int, steps: int
) -> None:
    batches = Batches(windows, batch_size, seed)
    taken = np.concatenate([batches.of_step(step) for step in range(steps)])
    assert len(taken) == steps * batch_size
    for epoch in range(len(taken) // windows):
        assert sorted(taken[epoch * windows : (epoch + 1) * windows]) == list(range(windows))
    assert batches.epoch_after(steps) == len(taken) // windows


def test_epochs_differ_in_their_order_and_seeds_too() -> None:
    orders = {tuple(Batches(30, 30, seed).of_step(epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


@given(epochs=st.integers(1, 5), windows=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_steps_suffice_for_the_epochs_and_none_is_idle(
    epochs: int, windows: int, batch_size: int
) -> None:
    batches = Batches(windows, batch_size, 0)
    steps = batches.steps_of(epochs)
    assert batches.epoch_after(steps) >= epochs > batches.epoch_after(steps - 1)


@given(count=st.integers(1, 40), parts=st.integers(1, 4), size=st.integers(1, 4))
def test_parts_of_all_processes_are_the_batch(count: int, parts: int, size: int) -> None:
    windows = np.arange(count)
    shares = [share_of(windows, parts=parts, rank=rank, size=size) for rank in range(size)]
    assert all(len(share) == parts for share in shares)
    together = np.concatenate([part for share in shares for part in share])
    assert sorted(together) == list(range(count))


def test_targets_are_the_tokens_that_follow() -> None:
    ids_N = np.arange(11, dtype=np.uint16)
    assert window_count(11, 4) == 2
    inputs_BT, targets_BT = read_windows(ids_N, np.array([1, 0]), 4, torch.device("cpu"))
    assert inputs_BT.tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert targets_BT.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
